"""Three daemons on loopback, from their folder to their end."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ramsterd
from config.limits import SOCKET_PATH_BYTES_MAX
from ramsterd.cli.ask import send_command
from ramsterd.demo.stopping import Stopping

NAMES: Final = ("alpha", "beta", "gamma")
EXPORT: Final = "demo"
# What a folder's name leaves for the longest name in it.
_FOLDER_BYTES_MAX: Final = SOCKET_PATH_BYTES_MAX - len("/alpha.control.sock")
_LINKED_SECONDS_MAX: Final = 20.0
_POLL_SECONDS: Final = 0.05
_ANSWER_SECONDS_MAX: Final = 10.0
# What a daemon may take for an orderly stop, and how long we wait before it is killed.
_STOP_SECONDS_MAX: Final = 5
_KILL_AFTER_SECONDS: Final = 8.0
_LOG_LINES: Final = 15
_PORT_TRIES: Final = 100
# Below those that Linux gives to outgoing connections, which could take one before its daemon does.
_PORTS: Final = range(20_000, 32_000)

_CLUSTER_TOML: Final = """\
name = "demo"
"""
_NODE_TOML: Final = """
[[node]]
number = {number}
name = "{name}"
address = "127.0.0.1"
port = {port}
"""
_DAEMON_TOML: Final = """\
node = "{name}"
cluster = "cluster.toml"
state_dir = "{name}.state"
stop_seconds_max = {stop_seconds_max}

[memory]
budget = {budget_bytes}
# So that the numbers of both peers add up to what left.
[remote]
copies = 1

[control]
socket = "{name}.control.sock"
"""
_EXPORT_TOML: Final = """
[nbd]
socket = "{name}.nbd.sock"

[[export]]
name = "{export}"
size = {export_bytes}
"""


class ClusterFailed(Exception):
    """A daemon did not do what it must; the message is for the operator."""


@dataclass(slots=True)
class Node:
    """One daemon."""

    number: int
    name: str
    budget_bytes: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def config_path(self) -> Path:
        """Its ramsterd.toml."""
        return self.folder / f"{self.name}.toml"

    @property
    def control_path(self) -> Path:
        """Its control socket."""
        return self.folder / f"{self.name}.control.sock"

    @property
    def nbd_path(self) -> Path:
        """Its NBD socket."""
        return self.folder / f"{self.name}.nbd.sock"

    @property
    def log_path(self) -> Path:
        """What it writes to standard error."""
        return self.folder / f"{self.name}.log"

    def ask(self, command: str) -> Any:
        """Return what the daemon answers to a command.

        Raises:
            ClusterFailed: There is no answer, or it is an error.
        """
        try:
            line = send_command(self.control_path, command, seconds_max=_ANSWER_SECONDS_MAX)
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            raise ClusterFailed(f"{self.name} does not answer {command!r}: {error}") from error
        if not answer["ok"]:
            raise ClusterFailed(f"{self.name} refuses {command!r}: {answer['error']}")
        return answer["result"]


class Cluster:
    """The first node has the export.

    The others have only memory.  `close` undoes everything, at any time.
    """

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._folder: Path | None = None
        self.nodes: list[Node] = []

    def start(self, budgets_bytes: tuple[int, ...], export_bytes: int) -> None:
        """Write the files and start the daemons.

        Raises:
            OSError: No folder, no port, or no process can be had.
        """
        with self._stopping.held():
            self._folder = _make_folder()
        self.nodes = [
            Node(number, name, budget_bytes, self._folder)
            for number, (name, budget_bytes) in enumerate(
                zip(NAMES, budgets_bytes, strict=True), start=1
            )
        ]
        self._write_files(export_bytes)
        for node in self.nodes:
            with self._stopping.held(), node.log_path.open("wb") as log:
                # A session of its own: Ctrl-C at a terminal is for us, and we stop it in order.
                node.process = subprocess.Popen(  # noqa: S603  our own interpreter, our own files
                    _command(node.config_path),
                    env=_environment(),
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def _write_files(self, export_bytes: int) -> None:
        assert self._folder is not None
        members = "".join(
            _NODE_TOML.format(number=node.number, name=node.name, port=port)
            for node, port in zip(self.nodes, _free_ports(len(self.nodes)), strict=True)
        )
        (self._folder / "cluster.toml").write_text(_CLUSTER_TOML + members)
        for node in self.nodes:
            text = _DAEMON_TOML.format(
                name=node.name, budget_bytes=node.budget_bytes, stop_seconds_max=_STOP_SECONDS_MAX
            )
            if node is self.nodes[0]:
                text += _EXPORT_TOML.format(
                    name=node.name, export=EXPORT, export_bytes=export_bytes
                )
            node.config_path.write_text(text)

    def wait_linked(self) -> None:
        """Wait until the first node has a link to each other one and knows how much room it has.

        Raises:
            ClusterFailed: That took too long, or a daemon ended.
        """
        self.wait_for("the daemons to link", self._is_linked, seconds_max=_LINKED_SECONDS_MAX)

    def _is_linked(self) -> bool:
        self.check_alive()
        if not all(node.control_path.exists() for node in self.nodes):
            return False
        try:
            rows = self.nodes[0].ask("nodes")
        except ClusterFailed:
            return False  # bound, but not yet listening
        return all(
            row["is_local"] or (row["is_linked"] and row["state"] == "up" and row["status"])
            for row in rows
        )

    def wait_for(self, what: str, is_true: Callable[[], bool], *, seconds_max: float) -> None:
        """Poll until something is true.

        Raises:
            ClusterFailed: It is still false after `seconds_max`.
        """
        deadline = time.perf_counter() + seconds_max
        while not is_true():
            if time.perf_counter() > deadline:
                raise ClusterFailed(f"waited {seconds_max:g} s for {what}")
            time.sleep(_POLL_SECONDS)

    def check_alive(self) -> None:
        """Raise ClusterFailed if a daemon ended by itself."""
        for node in self.nodes:
            if node.process is not None and (status := node.process.poll()) is not None:
                raise ClusterFailed(f"{node.name} ended by itself with status {status}")

    def stop(self) -> dict[str, int]:
        """Stop the daemons, the owner of the pages first; return the exit status of each.

        Negative: the number of the signal that ended it; -9 if it had to be killed.
        """
        return {
            node.name: end_process(node.process) for node in self.nodes if node.process is not None
        }

    def left_behind(self) -> list[str]:
        """Return which sockets the daemons left in the folder."""
        return sorted(path.name for path in self._folder.glob("*.sock")) if self._folder else []

    def close(self) -> None:
        """End all processes and remove the folder, however far things got.  May be called again."""
        running = [node.process for node in self.nodes if node.process is not None]
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            end_process(process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def log_tails(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the name and the last lines of the log of each daemon."""
        for node in self.nodes:
            with contextlib.suppress(OSError):
                lines = node.log_path.read_text(errors="replace").splitlines()
                yield node.name, lines[-_LOG_LINES:]


def end_process(process: subprocess.Popen[bytes]) -> int:
    """Send SIGTERM, wait, kill what does not end; return the exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(_KILL_AFTER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _command(config_path: Path) -> list[str]:
    return [sys.executable, "-m", "ramsterd", "run", "--config", str(config_path)]


def _environment() -> Mapping[str, str]:
    """Return ours, with the package that runs now, and without a service manager that waits for us."""
    environ = {
        key: value
        for key, value in os.environ.items()
        if key not in {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    }
    source = str(Path(ramsterd.__file__).resolve().parent.parent)
    paths = [source, *filter(None, [environ.get("PYTHONPATH")])]
    return environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _make_folder() -> Path:
    """Return a new folder whose name is short enough for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="ramster-demo-"))
    if len(os.fsencode(folder)) <= _FOLDER_BYTES_MAX:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="ramster-demo-", dir="/tmp"))


def _free_ports(count: int) -> list[int]:
    """Return ports that are free on loopback for TCP and for UDP."""
    ports: list[int] = []
    rng = random.Random()  # noqa: S311  no secret
    with contextlib.ExitStack() as stack:
        for port in rng.sample(_PORTS, _PORT_TRIES):
            with contextlib.suppress(OSError):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    taken = stack.enter_context(socket.socket(socket.AF_INET, kind))
                    taken.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"found no {count} ports on 127.0.0.1 that are free for TCP and UDP")
