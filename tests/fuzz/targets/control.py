"""Any lines on the control socket get one line of JSON each, or end the connection; a command refuses by name and leaves a valid cluster."""

import json
import random
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, cast

import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from config.memory import MemoryBound
from config.model import ClusterConfig, NodeConfig
from config.rules import check_cluster
from nodemanager.ids import NodeId
from nodemanager.table import NodeTable
from ramsterd.admin.commands import set_budget
from ramsterd.admin.node_commands import drain_node, node_commands
from ramsterd.admin.socket import LINE_BYTES_MAX, Command, CommandRefused, Lines, answer
from ramsterd.admin.state_commands import state_commands
from ramsterd.membership.members import Members
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.home.last_copies import Counted
from ramsterd.statefile.content import Content, Key, PoolKey, Record
from ramsterd.statefile.marks import Marks
from tests.fakes.export_names import FakeExportNames
from tests.fuzz.target import Target, pieces

MEMORY: Final = (MemoryBound(limit_bytes=1 << 30, name="the memory of this machine"),)
CLUSTER: Final = ClusterConfig(
    name="lab",
    node=tuple(
        NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7000 + number)
        for number in (1, 2, 3)
    ),
)
# An answer may repeat a part of what was asked, and lists members.
ANSWER_BYTES_MAX: Final = 2 * 1024


class Daemon:
    """The commands that change something, around an engine that only listens."""

    def __init__(self) -> None:
        self.clock = MockClock()
        self.unnamed: Exception | None = None
        # Whom pages are counted for; the answer comes after the command.
        self._counting: list[NodeId] = []
        self.outcomes: set[str] = set()
        self.engine = cast(
            "Engine",
            SimpleNamespace(
                nodes=NodeTable(CLUSTER, NodeId(1)),
                store=SimpleNamespace(
                    room=SimpleNamespace(
                        limits=SimpleNamespace(budget_bytes_max=4 * BUDGET_BYTES_MIN)
                    )
                ),
                begin_last_copies_count=lambda node, **_: self._counting.append(node),
                pages_there=lambda _: 1,
                pages_owned=lambda: 1,
                pages_here=lambda _: 0,
                recalled_at=lambda _: {},
                set_budget=lambda budget_bytes, **_: {"budget": budget_bytes},
            ),
        )
        peers: Any = SimpleNamespace(settle=lambda: None, members=SimpleNamespace(cluster=CLUSTER))
        link: Any = SimpleNamespace(post=lambda *_, **__: None, push=lambda: None)
        self.members = Members(self.engine, CLUSTER, links={NodeId(2): link}, apply=lambda _: None)
        commands: dict[str, Command] = {
            "memory-set": lambda request: set_budget(
                self.engine, peers, request, memory=lambda: MEMORY
            ),
            **node_commands(self.members),
            "node-drain": partial(drain_node, self.members, wall=1000.0),
            **state_commands(lost_marks(), FakeExportNames("swap0")),
        }
        self.commands = {name: self._watched(name, each) for name, each in commands.items()}

    def _watched(self, name: str, command: Command) -> Command:
        def run(request: dict[str, object]) -> object:
            before = self.members.cluster
            try:
                result = command(request)
            except CommandRefused as refused:
                assert str(refused).isprintable(), "an operator reads it"
                # To be removed is to be cordoned first, and that stays.
                assert name == "node-remove" or self.members.cluster == before
                self.outcomes.add(f"{name} refused")
                raise
            except Exception as error:
                # `answer` catches more than it should need to.
                self.unnamed = error
                raise
            finally:
                self._go_on()
            self.outcomes.add(name)
            return result

        return run

    def _go_on(self) -> None:
        """Let two seconds pass, in which pages are counted; the linked node says nothing."""
        self.clock.jump(2)
        counting, self._counting = self._counting, []
        for node in counting:
            self.members.inquiries.on_counted(Counted(node, last_copies=1))


def lost_marks() -> Marks:
    """Return the marks of a node that has lost an export and a pool."""
    records: dict[Key, Record] = {key: Record("0" * 32) for key in ("swap0", PoolKey(7, "spill"))}
    return Marks(Content(0, records), new_generation=lambda: "1" * 32, started_at=1)


async def talk(daemon: Daemon, data: bytes, rule: int) -> list[bytes]:
    """Return what is answered, as the server of the socket would; on the clock of trio, which commands ask."""
    lines, answers = Lines(), []
    for piece in pieces(data, rule):
        answers += [answer(line, daemon.commands) for line in lines.receive_data(piece)]
        if lines.is_too_long:
            break
    return answers


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut."""
    daemon = Daemon()
    rule = data[0] if data else 0
    answers = trio.run(talk, daemon, data[1:], rule, clock=daemon.clock)
    if daemon.unnamed is not None:
        raise daemon.unnamed
    check_cluster(daemon.members.cluster, file="members")
    lines = data[1:].split(b"\n")
    if all(len(line) <= LINE_BYTES_MAX for line in lines):
        assert len(answers) == len(lines) - 1
    for each in answers:
        assert len(each) <= ANSWER_BYTES_MAX
        assert each.endswith(b"\n")
        assert each.count(b"\n") == 1
        reply = json.loads(each)
        assert set(reply) == ({"ok", "result"} if reply["ok"] else {"ok", "error"})
        daemon.outcomes.add("result" if reply["ok"] else "error")
    return daemon.outcomes


def line(command: str, **fields: object) -> bytes:
    return json.dumps({"command": command, **fields}).encode() + b"\n"


def seeds() -> Mapping[str, bytes]:
    new = {"number": 4, "name": "n4", "address": "127.0.0.1", "port": 7004, "zone": "rack"}
    return {
        "memory": b"\x01" + line("memory-set", budget="4MiB") + line("memory-set", budget=1),
        "nodes": b"\x03"
        + line("node-add", node=new)
        + line("node-add", node=new)
        + line("node-cordon", name="n4")
        + line("node-cordon", name="n4")
        + line("node-uncordon", name="n4")
        + line("node-drain", name="n4", deadline_seconds=60, reason="a new kernel")
        + line("node-drain", name="n4") * 2
        + line("node-remove", name="n4", force=True) * 5,
        "reset": b"\x00"
        + line("export-reset", name="swap0") * 2
        + line("export-reset", name="other")
        + line("pool-reset", user=7, name="spill") * 2
        + line("pool-reset", user=8, name="spill"),
        "lost": b"\x00" + line("node-remove", name="n3") * 5,
        "nobody": b"\x00"
        + line("node-uncordon", name="nobody")
        + line("node-drain")
        + line("node-remove"),
        "bad-node": b"\x00" + line("node-add", node={**new, "address": "0.0.0.0"}),  # noqa: S104
        "surrogate": b"\x00" + line("node-add", node={**new, "name": "\ud800"}),
        "long": b"\x00" + line("node-cordon", name="n" * 20_000),
        "deep": b"\x00" + line("memory-set", budget=[[[[[1]]]]]),
        "garbage": b"\x01\xff\n\n[]\n{}\n" + b"9" * 5000 + b"\n" + b"[" * 3000 + b"\n",
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Make lines of JSON with a known command, and odd values in some places."""
    repaired = data[:1]
    for each in data[1:].split(b"\n")[:-1]:
        try:
            request = json.loads(each)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or rng.random() < 0.3:
            known = seeds()["nodes"][1:] + seeds()["reset"][1:]
            request = json.loads(rng.choice([*known.split(b"\n")[:-1], b"{}"]))
        change(request, rng)
        repaired += json.dumps(request).encode() + b"\n"
    return repaired


def change(request: dict[str, Any], rng: random.Random) -> None:
    keys: Callable[[dict[str, Any]], list[str]] = sorted
    target = request
    if isinstance(node := request.get("node"), dict) and node and rng.random() < 0.7:
        target = node
    if target and rng.random() < 0.5:
        target[rng.choice(keys(target))] = rng.choice(ODD_VALUES)


ODD_VALUES: Final[list[object]] = [
    0, 1, 2, 4, 7004, -1, 1 << 70, 1e400, 0.5, float("nan"), True, None, "", "n1", "n2", "n4", "n5", "::1",
    "10.0.0.1", "127.0.0.1", "4MiB", "8388608", "\ud800", "\0", "\u2028", [], {}, [[]], {"name": "n1"}, "é" * 40,
]  # fmt: skip

TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {"result", "error", "memory-set", "memory-set refused", "node-add", "node-add refused"}
        | {"node-cordon", "node-cordon refused", "node-uncordon", "node-uncordon refused"}
        | {"node-remove", "node-remove refused", "node-drain", "node-drain refused"}
        | {"export-reset", "export-reset refused", "pool-reset", "pool-reset refused"}
    ),
    repair=repair,
    tokens=(b'"command"', b'"node-add"', b'"node"', b'"name"', b'"force": true', b"\\ud800"),
)
