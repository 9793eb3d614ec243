"""Real processes for benchmarks: our daemons, nbdkit and fio, each stopped by its own pid, whatever happens."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import sampler
from ramsterd.cli.ask import send_command

ROOT = Path(__file__).parent.parent
MIB = 1024 * 1024
EXPORT = "disk"
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 15.0
# What `python -c` runs: the console script, whether or not it is installed.
RAMSTERD = "from ramsterd.cli.entry import main; main()"
# Before it, where somebody wants samples of it.
SAMPLED = "import benchmarks.sampler; " + RAMSTERD


@contextmanager
def running(command: Sequence[str], *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; its output goes to a file."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(
    is_true: Callable[[], bool],
    what: str,
    seconds_max: float = START_SECONDS_MAX,
    *,
    pause_seconds: float = 0.02,
) -> None:
    """Wait for a condition, or raise TimeoutError with its name."""
    end = time.monotonic() + seconds_max
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds_max:g} s: {what}")
        time.sleep(pause_seconds)


def free_port() -> int:
    """Return a port of loopback that is free for TCP and UDP just now."""
    with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as also:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        also.bind(("127.0.0.1", port))
        return port


def accepts(address: tuple[str, int] | Path) -> bool:
    """Whether somebody listens there."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
        return True


# Our daemons.


@dataclass(frozen=True, slots=True)
class Node:
    """A daemon to start: number n of a cluster of `len(nodes)`."""

    number: int
    budget_bytes: int
    export_bytes: int = 0
    address: str = "127.0.0.1"
    # Put before the command, such as `ip netns exec NAME`.
    prefix: tuple[str, ...] = ()
    is_tls: bool = False
    # Lines at the top, for the sections [memory] and [remote], and for its [[export]].
    top: str = ""
    memory: str = ""
    remote: str = ""
    export: str = ""
    log_level: str = "warning"
    # "debug": what the failure detector believes, for those who judge it.
    heartbeat_log_level: str = "warning"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon."""

    node: Node
    pid: int
    folder: Path

    @property
    def nbd_socket(self) -> Path:
        return self.folder / f"nbd{self.node.number}"

    @property
    def control_socket(self) -> Path:
        return self.folder / f"control{self.node.number}"

    @property
    def tmem_socket(self) -> Path:
        return self.folder / f"tmem{self.node.number}"

    @property
    def uri(self) -> str:
        return f"nbd+unix:///{EXPORT}?socket={self.nbd_socket}"

    def status(self) -> dict[str, Any]:
        """Ask the control socket."""
        line = send_command(self.control_socket, "status", seconds_max=START_SECONDS_MAX)
        result: dict[str, Any] = json.loads(line)["result"]
        return result

    def is_linked(self) -> bool:
        """Whether all other members have a link to this one, with room known."""
        links: dict[str, Any] = self.status()["links"]
        return all(link["frames_received_total"] > 2 for link in links.values()) and bool(links)


@contextmanager
def cluster(folder: Path, nodes: Sequence[Node]) -> Iterator[list[Daemon]]:
    """Run one daemon for each node until the block ends."""
    with ExitStack() as stack:
        (folder / "cluster.toml").write_text(_cluster_toml(nodes))
        _write_certificates(folder, [node for node in nodes if node.is_tls])
        daemons = []
        program = SAMPLED if sampler.VARIABLE in os.environ else RAMSTERD
        for node in nodes:
            config = folder / f"ramsterd{node.number}.toml"
            config.write_text(_daemon_toml(node))
            command = [*node.prefix, sys.executable, "-c", program, "run", "--config", str(config)]
            process = stack.enter_context(running(command, log=folder / f"log{node.number}"))
            daemons.append(Daemon(node, process.pid, folder))
        for daemon in daemons:
            # The last endpoint to open.
            wait_until(partial(accepts, daemon.control_socket), f"{daemon.control_socket}")
        if len(nodes) > 1:
            for daemon in daemons:
                wait_until(daemon.is_linked, f"links of node {daemon.node.number}")
        yield daemons


def _write_certificates(folder: Path, nodes: Sequence[Node]) -> None:
    if not nodes:
        return
    from tests.helpers.authority import Authority  # noqa: PLC0415  needs libraries of the tests

    authority = Authority(folder / "tls")
    for node in nodes:
        authority.issue(f"n{node.number}")


def _cluster_toml(nodes: Sequence[Node]) -> str:
    lines = ['name = "bench"', "insecure_plaintext = true"]
    for node in nodes:
        port = free_port() if node.address == "127.0.0.1" else 7700
        lines += ["[[node]]", f"number = {node.number}", f'name = "n{node.number}"',
                  f'address = "{node.address}"', f"port = {port}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _daemon_toml(node: Node) -> str:
    export = f'[[export]]\nname = "{EXPORT}"\nsize = {node.export_bytes}\n{node.export}\n'
    return (
        f'node = "n{node.number}"\ncluster = "cluster.toml"\nstate_dir = "state{node.number}"\n'
        f"{node.top}\n"
        f"[memory]\nbudget = {node.budget_bytes}\n{node.memory}\n[remote]\n{node.remote}\n"
        f'[nbd]\nsocket = "nbd{node.number}"\n[control]\nsocket = "control{node.number}"\n'
        f'[tmem]\nsocket = "tmem{node.number}"\n'
        f'[log]\nlevel = "{node.log_level}"\nsubsystems.heartbeat = "{node.heartbeat_log_level}"\n'
        f"{_tls_toml(node) if node.is_tls else ''}"
        f"{export if node.export_bytes else ''}"
    )


def _tls_toml(node: Node) -> str:
    mine = f"tls/n{node.number}"
    return f'[tls]\nca = "tls/ca.pem"\ncertificate = "{mine}.pem"\nkey = "{mine}.key"\n'


@contextmanager
def apart(pids: Sequence[int]) -> Iterator[int | None]:
    """Keep servers on one core and yield another for their client, or None where there is no other.

    Where the scheduler puts two programs that wait for each other is a lottery, and waking a sleeping core of a virtual
    machine may cost more than the request: so programs that are compared by latency must be placed the same way.
    """
    all_cores = os.sched_getaffinity(0)
    if len(all_cores) < 2:
        yield None
        return
    first, *_, last = sorted(all_cores)
    try:
        _place(pids, {last})
        yield first
    finally:
        _place(pids, all_cores)


@contextmanager
def placed(pids: Sequence[int]) -> Iterator[int | None]:
    """Keep each server on a core of its own, as if on a machine of its own, and yield that of their client.

    Where no core is left for the client it shares that of the first server: the two are on one machine in use, too.
    With one core there is nothing to choose, and None.
    """
    all_cores = os.sched_getaffinity(0)
    if len(all_cores) < 2:
        yield None
        return
    first, *others = sorted(all_cores)
    cores = others[::-1] if len(others) >= len(pids) else [first, *others]
    try:
        for place, pid in enumerate(pids):
            _place([pid], {cores[place % len(cores)]})
        yield first
    finally:
        _place(pids, all_cores)


def _place(pids: Sequence[int], cores: set[int]) -> None:
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


# Peers to compare with.


@dataclass(frozen=True, slots=True)
class Peer:
    """A running nbdkit."""

    pid: int
    uri: str


@contextmanager
def nbdkit(
    folder: Path, name: str, export_bytes: int, *options: str, tcp: bool = False
) -> Iterator[Peer]:
    """Run `nbdkit memory` on a Unix socket, or on TCP loopback."""
    at: tuple[str, int] | Path
    if tcp:
        at = ("127.0.0.1", free_port())
        endpoint, uri = ["-i", at[0], "-p", str(at[1])], f"nbd://{at[0]}:{at[1]}"
    else:
        at = folder / name
        endpoint, uri = ["-U", str(at)], f"nbd+unix:///?socket={at}"
    command = ["nbdkit", "-f", *endpoint, "memory", str(export_bytes), *options]
    with running(command, log=folder / f"{name}.log") as process:
        wait_until(lambda: accepts(at), f"nbdkit {name}")
        yield Peer(process.pid, uri)


def processor_seconds(pid: int) -> float:
    """Return what a process has used so far, of both kinds (its clock of clock_getcpuclockid(3), to the nanosecond)."""
    return time.clock_gettime(~pid << 3 | 2)


def rss_bytes(pid: int) -> int:
    """Return the resident bytes of a process (smaps_rollup of proc(5))."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Rss line")


def peak_bytes(pid: int) -> int:
    """Return the most resident bytes that a process ever had (VmHWM of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM line")
