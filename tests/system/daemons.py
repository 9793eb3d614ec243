"""Real daemons on loopback for tests: files, ports, processes, and a way to ask them how they are.

Nothing here sleeps for a time: every wait is for a condition, within a bound.  `Cluster.close` ends all that was
started, and asserts that each daemon left in order and nothing behind.
"""

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ramsterd.cli.ask import send_command
from ramsterd.client.nbd import NbdClient
from tests.helpers.programs import RAMSTERD, Program, environment

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EXPORT = "swap0"
MIB = 1024 * 1024

# Often enough for what is soon there; who waits for long asks less often, for each answer is work of a daemon.
POLL_SECONDS = 0.02
POLL_SECONDS_MAX = 0.2
POLL_SHARE_OF_WAIT = 0.1
# Generous: the machine's cores are shared.  Daemons start in half a second and stop faster.
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
# Below the kernel's ephemeral ports, so that nobody's outgoing connection takes one before its daemon does; and each
# worker of a parallel run has its own.
WORKERS_MAX = 16
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(20_000, 32_000)[WORKER % WORKERS_MAX :: WORKERS_MAX]

TIMERS = {
    "keepalive_seconds": 0.5,
    "idle_seconds": 8.0,
    "probe_seconds": 0.4,
    "probe_timeout_seconds": 0.2,
}


def wait_until(condition: Callable[[], T], what: str, *, seconds_max: float = 10.0) -> T:
    """Return what `condition` returns soon after that is true; fail when it is not in time."""
    began_at = time.perf_counter()
    while not (result := condition()):
        waited = time.perf_counter() - began_at
        assert waited < seconds_max, f"not within {seconds_max:g} s: {what}"
        time.sleep(min(max(POLL_SECONDS, waited * POLL_SHARE_OF_WAIT), POLL_SECONDS_MAX))
    return result


_given: deque[int] = deque(maxlen=100)


def free_ports(count: int) -> list[int]:
    """Return ports that are free for TCP and UDP alike, and were not returned lately: somebody may be about to bind them."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            port = random.Random().choice(PORTS)
            if port in _given:
                continue
            pair = [socket.socket(type=kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
            held += pair
            try:
                for each in pair:
                    each.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            _given.append(port)
    finally:
        for each in held:
            each.close()
    return found


class Node:
    """One daemon: its files, and its process while it runs."""

    def __init__(self, number: int, port: int, config: Path, sockets: Path) -> None:
        self.number = number
        self.name = f"n{number}"
        self.port = port
        self.config = config
        self.nbd = sockets / f"{number}.nbd"
        self.control = sockets / f"{number}.ctl"
        self.log_path = config.with_suffix(".log")
        # What stands before the command, such as `ip netns exec NAME`.
        self.prefix: tuple[str, ...] = ()
        self.process: subprocess.Popen[Any] | None = None
        # What runs it; a test may want a node that differs in its code.
        self.program = RAMSTERD
        # See `Cluster.measure_processes`.
        self.popen: type[subprocess.Popen[Any]] = Program
        # Names of socket files that a kill left behind.
        self.leftovers: set[str] = set()

    @property
    def uri(self) -> str:
        return f"nbd+unix:///{EXPORT}?socket={self.nbd}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_said(self, text: str) -> None:
        """Wait until the log has a text: a thread writes it, so it may come after what it tells of."""
        wait_until(lambda: text in self.log, f"{self.name} says: {text}")

    def start(
        self,
        extra_environment: Mapping[str, str] | None = None,
        *,
        words: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Start the process; `wait_ready` follows.

        Args:
            extra_environment: What it has beside ours.
            words: What is typed behind the program, if not what runs it with its file.
            folder: Where that is typed, if not here.
        """
        assert self.process is None
        with self.log_path.open("ab") as log:
            self.process = self.popen(
                [*self.prefix, *self.program, *(words or ("run", "--config", str(self.config)))],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(), **(extra_environment or {})},
            )
        self.leftovers = set()

    def wait_ready(self) -> None:
        """Wait until the control socket answers: it opens when NBD is open already."""
        wait_until(self._answers, f"{self.name} is ready", seconds_max=START_SECONDS_MAX)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.log}"
        try:
            self.ask("version")
        except OSError:
            return False
        return True

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut does: sockets stay behind."""
        self.send_signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(STOP_SECONDS_MAX)
        self.process = None
        self.leftovers = {path.name for path in (self.nbd, self.control) if path.exists()}

    def wait_end(self) -> int:
        """Return the exit status, which must come within the bound."""
        assert self.process is not None
        status = self.process.wait(STOP_SECONDS_MAX)
        self.process = None
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop in order, and see that it was in order."""
        self.send_signal(number)
        assert self.wait_end() == 0, self.log
        assert not self.nbd.exists()
        assert not self.control.exists()
        assert "Traceback" not in self.log

    def ask(self, command: str, **arguments: object) -> Any:
        """Return the result of a control command."""
        line = send_command(self.control, command, arguments, seconds_max=STOP_SECONDS_MAX)
        if not line:
            raise ConnectionResetError("no answer")
        answer = json.loads(line)
        assert answer["ok"], answer
        return answer["result"]

    def status(self) -> Any:
        return self.ask("status")

    def engine(self) -> Any:
        return self.status()["engine"]

    def links(self) -> set[int]:
        """Return the numbers of the nodes it has told of their room and has heard so from."""
        rows = self.ask("nodes")
        return {row["config"]["number"] for row in rows if row["is_linked"] and row["status"]}

    def states(self) -> dict[int, str]:
        return {row["config"]["number"]: row["state"] for row in self.ask("nodes")}

    def foreign_pages(self) -> int:
        return sum(each["pages"] for each in self.engine()["foreign"])

    def pages_at(self, holder: int) -> int:
        """Return how many copies of pages of this node a living holder has."""
        remote = self.engine()["remote"]
        name = f"n{holder}"
        return sum(each["pages"] for each in remote if each["node"] == name and not each["is_dead"])

    def reset_export(self, export: str = EXPORT) -> None:
        """Make blank what a restart has lost, as an operator does."""
        wait_until(
            lambda: self.ask("export-reset", name=export)["state"] == "blank",
            f"{self.name} has noted that {export} is blank",
        )

    def client(self, export: str = EXPORT) -> NbdClient:
        return NbdClient.connect(self.nbd, export)


class Cluster:
    """Some nodes with numbers from 1 and one export each."""

    def __init__(
        self,
        folder: Path,
        sockets: Path,
        *,
        budgets: list[str],
        export: str = "32MiB",
        copies: int = 1,
        nbd: str = "",
        more: str = "",
    ) -> None:
        """Write the files of `len(budgets)` nodes.  They share few cores, so they do not poll.

        Args:
            folder: For files and logs.
            sockets: A short path for sockets.
            budgets: Memory of each node.
            export: Size of the export.
            copies: On how many peers a page is kept that is not kept here.
            nbd: More lines of TOML for the [nbd] tables.
            more: More lines of TOML for each ramsterd.toml, beginning with a table.
        """
        self._sockets = sockets
        ports = free_ports(len(budgets))
        lines = ['name = "test"', "[timers]"]
        lines += [f"{key} = {value}" for key, value in TIMERS.items()]
        for number, port in enumerate(ports, start=1):
            lines += ["[[node]]", f"number = {number}", f'name = "n{number}"']
            lines += ['address = "127.0.0.1"', f"port = {port}"]
        (folder / "cluster.toml").write_text("\n".join(lines) + "\n")
        self.nodes: dict[int, Node] = {}
        for number, (port, budget) in enumerate(zip(ports, budgets, strict=True), start=1):
            node = Node(number, port, folder / f"n{number}.toml", sockets)
            node.config.write_text(
                f"""\
node = "{node.name}"
cluster = "cluster.toml"
state_dir = "{node.name}-state"
stop_seconds_max = 5.0
poll_microseconds_max = 0
[memory]
budget = "{budget}"
[remote]
copies = {copies}
request_seconds_max = 2.0
fetch_seconds_max = 4.0
put_wait_seconds_max = 4.0
[nbd]
socket = "{node.nbd}"
{nbd}
[[export]]
name = "{EXPORT}"
size = "{export}"
[control]
socket = "{node.control}"
{more}
"""
            )
            self.nodes[number] = node

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def measure_processes(self) -> None:
        """Let each daemon be a process of its own from its beginning on: its memory, or its start, is measured."""
        for node in self:
            node.popen = subprocess.Popen

    def start(self) -> None:
        """Start all nodes and wait until each is linked with each."""
        for node in self:
            node.start()
        for node in self:
            node.wait_ready()
        self.wait_linked()

    def wait_linked(self) -> None:
        everyone = set(self.nodes)
        for node in self:
            wait_until(
                lambda node=node: node.links() == everyone - {node.number},  # type: ignore[misc]  # can't infer
                f"{node.name} is linked with all others",
            )

    def close(self) -> None:
        """Stop what runs and see that nothing is left."""
        running = [node for node in self if node.process is not None]
        try:
            for node in running:
                node.send_signal(signal.SIGCONT)
                node.send_signal(signal.SIGTERM)
            statuses = {node.name: node.wait_end() for node in running}
        finally:
            for node in running:
                if node.process is not None:
                    node.kill()
        assert statuses == dict.fromkeys(statuses, 0)
        for node in self:
            assert "Traceback" not in node.log, node.name
        expected = set[str]().union(*(node.leftovers for node in self))
        assert {path.name for path in self._sockets.iterdir()} == expected

    def print_logs(self) -> None:
        """Print all logs: pytest shows them when the test failed."""
        for node in self:
            print(f"--- log of {node.name}\n{node.log}")
