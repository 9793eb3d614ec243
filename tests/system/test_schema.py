"""What real daemons make `ramsterctl -o json` print is what docs/schema says: no key less, and none more."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from packages.schema.commands import BY_NODE, OF_COMMANDS
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.schemas import check
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, MIB, Cluster, Node, wait_until
from tests.system.membership import separate, start, wait_linked

# What no test of daemons can have printed, and what it is made by.
ELSEWHERE: Final = {
    "job cancel": "prints what `job watch` prints",
    "nbd list": "needs the kernel's nbd: tests/unit/cli/test_nbd.py",
    "pool reset": "prints what `export reset` prints",
    "stop": "ends the daemon: its answer is one of the socket, below",
}
SHOWN: Final = (
    "doctor",
    "exports",
    "health",
    "log-level",
    "memory show",
    "nodes",
    "pools",
    "status",
    "verify",
    "version",
)


def ctl(node: Node, *arguments: str) -> str:
    done = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(),
    )
    assert done.stdout, done
    return done.stdout


class Printed:
    """Commands that were tried, each held against its schema."""

    def __init__(self) -> None:
        self.commands = set(ELSEWHERE)

    def run(self, node: Node, command: str, *arguments: str) -> Any:
        found = json.loads(ctl(node, *command.split(), *arguments, "-o", "json"))
        check(command.replace(" ", "-"), found)
        self.commands.add(command)
        return found


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    made = new_cluster(budgets=["4MiB", "16MiB", "16MiB"])
    separate(made, 3)
    start(made, [1, 2, 3])
    wait_linked(made, [1, 2, 3])
    with made[1].client() as client:
        client.write(0, bytes(range(256)) * (MIB // 256))
    return made


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_commands_print_is_what_their_schemas_say(cluster: Cluster) -> None:
    node, printed = cluster[1], Printed()
    for command in SHOWN:
        more = ["--config", str(node.config)] if command == "doctor" else []
        printed.run(node, command, *more)
    printed.run(node, "verify", "--invariants")
    printed.run(node, "jobs")
    printed.run(node, "job watch", "verify-1")
    plan = json.loads(ctl(node, "node", "drain", "n3", "--dry-run", "-o", "json"))
    check("node-drain-dry-run", plan)
    printed.run(node, "log-level", "net", "debug", "--for", "1m")
    printed.run(node, "config reload")
    printed.run(node, "memory set", "--budget", "4MiB")
    wait_until(lambda: node.ask("health")["codes"], "nobody keeps its memory")
    printed.run(node, "health mute", "NOT_KEPT", "--for", "1h")
    printed.run(node, "health unmute", "NOT_KEPT")
    for each in change_exports():
        printed.run(node, *each)
    printed.run(node, "bench", "--seconds", "0.2", "--bytes", "256KiB")
    for each in change_members():
        printed.run(node, *each)
    for line in ctl(node, "events", "-o", "json").splitlines():
        check("events", json.loads(line))
    printed.commands.add("events")
    printed.run(node, "restart")
    node.kill()
    node.start()
    node.wait_ready()
    printed.run(node, "exports")
    printed.run(node, "export reset", EXPORT)
    check("stop", node.ask("stop", forget=True))
    assert printed.commands == set(OF_COMMANDS)


def change_exports() -> Iterator[list[str]]:
    yield ["export add", "extra", "--size", "1MiB"]
    yield ["export resize", "extra", "--size", "2MiB"]
    yield ["export remove", "extra"]


def change_members() -> Iterator[list[str]]:
    yield ["node set", "n3", "--address", "127.0.0.1"]
    yield ["node cordon", "n3"]
    yield ["node drain", "n3"]
    yield ["jobs"]
    yield ["job watch", "verify-1"]
    yield ["node uncordon", "n3"]
    yield ["node add", "--number", "9", "--name", "n9", "--address", "127.0.0.1", "--port", "9"]
    yield ["node remove", "n9"]


def test_what_all_members_say_is_an_object_by_name(cluster: Cluster) -> None:
    cluster[3].stop()
    for command in BY_NODE:
        found = json.loads(ctl(cluster[1], *command.split(), "--cluster", "-o", "json"))
        check("cluster", found)
        assert list(found) == ["n1", "n2", "n3"]
        assert list(found["n3"]) == ["error"]
    check("health", json.loads(ctl(cluster[1], "health", "--cluster", "-o", "json")))
    lines = ctl(cluster[1], "events", "--cluster", "-o", "json").splitlines()
    for line in lines:
        check("events-cluster", json.loads(line))
    assert {json.loads(line)["reported_by"] for line in lines} == {"n1", "n2", "n3"}
