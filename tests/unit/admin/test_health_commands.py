"""`health-mute` and `health-unmute`: what they take, and what they refuse."""

from dataclasses import replace
from typing import Any

import pytest

from ramsterd.admin.health_commands import health_commands
from ramsterd.admin.socket import CommandRefused
from ramsterd.health.mutes import MUTE_SECONDS_MAX
from ramsterd.observe.health_watch import HealthWatch
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.health_facts import down, with_peers
from tests.helpers.made_statistics import made_statistics


class Node:
    """One of whose peers is down."""

    def __init__(self) -> None:
        self.watch = HealthWatch(self.statistics, clock=lambda: 10.0)

    def statistics(self) -> DaemonStatistics:
        facts = with_peers(down("beta", pages=0))
        return replace(made_statistics(), health=self.watch.health.on_facts(facts, 10.0))


@pytest.fixture
def watch() -> HealthWatch:
    node = Node()
    node.statistics()
    return node.watch


def run(watch: HealthWatch, command: str, **request: Any) -> object:
    return health_commands(watch)[command]({"command": command, **request})


def muted_seconds(watch: HealthWatch) -> list[float]:
    return [each.muted_seconds for each in watch.statistics().health.codes]


def test_the_health_of_a_node_has_its_name(watch: HealthWatch) -> None:
    found = run(watch, "health")
    assert isinstance(found, dict)
    assert (found["node"], found["severity"], found["failure_tolerance_nodes"]) == (
        "text",
        "warn",
        0,
    )
    [code] = found["codes"]
    assert (code["code"], code["severity"]) == ("NODE_DOWN", "warn")
    assert code["command"] == "on node beta: systemctl start ramsterd"


def test_a_code_is_muted_until_it_is_unmuted(watch: HealthWatch) -> None:
    assert run(watch, "health-mute", code="NODE_DOWN", seconds=60) == {
        "code": "NODE_DOWN",
        "muted_seconds": 60,
    }
    assert muted_seconds(watch) == [60.0]
    assert run(watch, "health-unmute", code="NODE_DOWN") == {
        "code": "NODE_DOWN",
        "muted_seconds": 0,
    }
    assert muted_seconds(watch) == [0.0]


def test_a_mute_may_take_a_week(watch: HealthWatch) -> None:
    run(watch, "health-mute", code="NODE_DOWN", seconds=MUTE_SECONDS_MAX)
    assert muted_seconds(watch) == [MUTE_SECONDS_MAX]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"code": "NODE_DOWN"}, r"seconds: found .*, expected a time of more than 0 s and 7d at most"),
        ({"code": "NODE_DOWN", "seconds": 0}, "seconds: found 0, expected"),
        ({"code": "NODE_DOWN", "seconds": MUTE_SECONDS_MAX + 1}, "seconds: found"),
        ({"code": "NODE_DOWN", "seconds": float("nan")}, "seconds: found"),
        ({"code": "NODE_DOWN", "seconds": True}, "seconds: found"),
        ({"code": "NODE_DOWN", "seconds": "1h"}, "seconds: found"),
        ({"code": "node_down", "seconds": 1}, "code: found .*node_down.*, expected one of: PAGES_LOST, "),
        ({"code": ["NODE_DOWN"], "seconds": 1}, "code: found"),
        ({"seconds": 1}, "code: found"),
        ({"code": "PAGES_LOST", "seconds": 1}, "PAGES_LOST does not hold now: there is nothing to mute"),
    ],
)  # fmt: skip
def test_what_can_not_be_muted_is_refused(
    watch: HealthWatch, request_: dict[str, Any], says: str
) -> None:
    with pytest.raises(CommandRefused, match=says):
        run(watch, "health-mute", **request_)
    assert muted_seconds(watch) == [0.0]


def test_what_is_not_muted_can_not_be_unmuted(watch: HealthWatch) -> None:
    with pytest.raises(CommandRefused, match="NODE_DOWN is not muted: nothing has changed"):
        run(watch, "health-unmute", code="NODE_DOWN")
    with pytest.raises(CommandRefused, match="code: found"):
        run(watch, "health-unmute", code="?")
