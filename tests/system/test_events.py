"""What real daemons remember, and a `ramsterctl events --follow` that outlives one of them."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.programs import RAMSTERCTL, Program, environment, heed_interrupts
from tests.system.conftest import NewCluster
from tests.system.daemons import Node, wait_until
from tests.system.membership import ctl


def events(node: Node, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ctl(node, "events", "-o", "json", *arguments).splitlines()]


def kinds(node: Node, *arguments: str) -> list[str]:
    return [event["kind"] for event in events(node, *arguments)]


class Follower:
    """A process that follows."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.out, self.errors = folder / "follow.out", folder / "follow.err"
        with self.out.open("w") as out, self.errors.open("w") as errors:
            self.process = Program(
                [*RAMSTERCTL, "--socket", str(node.control), "events", "-f", "-o", "json"],
                stdout=out,
                stderr=errors,
                env=environment(),
                preexec_fn=heed_interrupts,
            )

    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def wait_kind(self, kind: str, *, count: int = 1) -> None:
        wait_until(
            lambda: sum(event["kind"] == kind for event in self.seen()) >= count,
            f"{count} of {kind} are followed",
        )

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def followers() -> Iterator[list[Follower]]:
    made: list[Follower] = []
    yield made
    for each in made:
        each.process.kill()
        each.process.wait()


def test_a_node_that_dies_and_comes_back_is_remembered_whatever_the_log_shows(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["4MiB", "4MiB"], more='[log]\nlevel = "error"')
    cluster.start()
    node, peer = cluster[1], cluster[2]
    peer.kill()
    wait_until(lambda: "node_down" in kinds(node), "n2 is down")
    peer.start()
    peer.wait_ready()
    wait_until(lambda: kinds(node).count("link_up") == 2, "n2 is back")
    found = events(node)
    assert [event["number"] for event in found] == [*range(1, len(found) + 1)]
    assert {"daemon_started", "link_lost", "node_down", "node_restarted"} <= {
        event["kind"] for event in found
    }
    [down] = events(node, "--kind", "node_down")
    assert (down["severity"], down["node"]) == ("warning", "n2")
    assert down["text"].startswith("node n2 is down: ")
    assert " is down" not in node.log
    # Another may have come meanwhile.
    assert events(node, "--since", "1h")[: len(found)] == found
    assert node.status()["events"]["kept_events"] >= len(found)


def test_text_and_time_are_those_of_the_line_in_the_log(new_cluster: NewCluster) -> None:
    node = new_cluster(budgets=["8MiB"], more='[log]\nformat = "json"')[1]
    node.start()
    node.wait_ready()
    ctl(node, "memory", "set", "--budget", "4MiB")
    found = {event["kind"]: event for event in events(node)}
    assert found["budget_ordered"]["fields"] == {"budget_bytes": 4 << 20}
    node.stop()
    lines = {
        line["event"]: line for line in map(json.loads, node.log.splitlines()) if "event" in line
    }
    for kind in ("daemon_started", "budget_ordered", "budget_changed"):
        assert (found[kind]["text"], found[kind]["time"]) == (
            lines[kind]["message"],
            lines[kind]["time"],
        )
    assert lines["budget_ordered"]["budget_bytes"] == 4 << 20


def test_who_follows_outlives_a_restart_and_says_so(
    new_cluster: NewCluster, followers: list[Follower], tmp_path: Path
) -> None:
    node = new_cluster(budgets=["4MiB"])[1]
    node.start()
    node.wait_ready()
    follower = Follower(node, tmp_path)
    followers.append(follower)
    follower.wait_kind("daemon_started")
    node.config.write_text(node.config.read_text() + "\n[log\n")
    node.send_signal(signal.SIGHUP)
    follower.wait_kind("config_refused")
    node.config.write_text(node.config.read_text().removesuffix("\n[log\n"))
    node.stop()
    wait_until(lambda: "waiting for it" in follower.errors.read_text(), "it waits")
    node.start()
    node.wait_ready()
    follower.wait_kind("daemon_started", count=2)
    assert follower.interrupt() == 0
    told = follower.errors.read_text().splitlines()
    assert told[0].startswith("ramsterctl: no daemon answers at ")
    assert told[1:] == [
        "ramsterctl: ramsterd answers again",
        "ramsterctl: ramsterd has restarted: events that were not shown before are gone",
    ]


def test_a_drain_begins_and_ends(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    cluster.start()
    ctl(cluster[1], "node", "drain", "n2", "--detach")
    wait_until(lambda: "drain_ended" in kinds(cluster[2]), "the drain ends", seconds_max=20)
    assert kinds(cluster[2], "--kind", "drain_began", "--kind", "drain_ended") == [
        "drain_began", "drain_ended",
    ]  # fmt: skip
    assert "node_draining" in kinds(cluster[1])
    assert "members_changed" in kinds(cluster[1])
