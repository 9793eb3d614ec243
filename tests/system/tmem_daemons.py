"""Real daemons with a tmem socket for tests, until `tests/system/daemons.py` has them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ramsterd.cli.ask import ask
from ramsterd.cli.target import Target
from tests.helpers.programs import RAMSTERD, Program, environment

START_SECONDS_MAX = 20.0
# What runs each daemon; a test may want others.
PROGRAM = RAMSTERD
NAMES = ("alpha", "beta", "gamma")


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free now, on loopback."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class DaemonProcess:
    """One daemon of a test's cluster."""

    folder: Path
    name: str
    process: Program | None = None
    program: list[str] = field(default_factory=lambda: PROGRAM)
    tmem: Path = field(init=False)
    control: Path = field(init=False)

    def __post_init__(self) -> None:
        self.tmem = self.folder / f"{self.name}-tmem.sock"
        self.control = self.folder / f"{self.name}-control.sock"

    def start(self) -> None:
        """Start it, and wait until its last socket accepts: the file is there a moment before."""
        self.control.unlink(missing_ok=True)  # a kill leaves it behind
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = Program(
                [*self.program, "run", "--config", f"{self.folder}/{self.name}.toml"],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._accepts, self.log)
        assert self.process.poll() is None, self.log()

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.control)) == 0

    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=START_SECONDS_MAX)
            self.process = None

    def ask(self, command: str) -> Any:
        """Return the answer of the control socket."""
        return ask(Target(self.control), command)

    def resident_bytes(self) -> int:
        """Return the daemon's RSS."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_for(
    condition: Any, text: Any = lambda: "", seconds_max: float = START_SECONDS_MAX
) -> None:
    deadline = time.monotonic() + seconds_max  # noqa: TID251  real processes live in real time
    while not condition():
        assert time.monotonic() < deadline, text()  # noqa: TID251  the same
        time.sleep(0.02)


@contextlib.contextmanager
def tmem_cluster(
    folder: Path,
    *,
    nodes: int = 1,
    budget: str = "16MiB",
    peer_budget: str = "256MiB",
    tmem: str = "",
    remote: str = "",
) -> Iterator[list[DaemonProcess]]:
    """Run daemons; the first has `budget`, the others `peer_budget`.  `tmem`, `remote` are added to their sections."""
    names = NAMES[:nodes]
    cluster = 'name = "tmem-test"\n'
    for number, (name, port) in enumerate(zip(names, free_ports(nodes), strict=True), 1):
        cluster += f'[[node]]\nnumber = {number}\nname = "{name}"\n'
        cluster += f'address = "127.0.0.1"\nport = {port}\n'
    (folder / "cluster.toml").write_text(cluster)
    daemons = [DaemonProcess(folder, name) for name in names]
    for each in daemons:
        memory = budget if each is daemons[0] else peer_budget
        (folder / f"{each.name}.toml").write_text(
            f'node = "{each.name}"\ncluster = "cluster.toml"\nstate_dir = "{each.name}-state"\n'
            f'[memory]\nbudget = "{memory}"\n'
            f"pages_max = 1048576\n"
            f"[remote]\n{remote}\n"
            f'[tmem]\nsocket = "{each.tmem}"\n{tmem}\n[control]\nsocket = "{each.control}"\n'
        )
    try:
        for each in daemons:
            each.start()
        if nodes > 1:
            wait_for(
                lambda: sum(row["is_linked"] for row in daemons[0].ask("nodes")) == nodes - 1,
                daemons[0].log,
            )
        yield daemons
    finally:
        for each in daemons:
            each.stop(signal.SIGKILL)
