"""One daemon as a unit of a service manager: a real systemd in namespaces of its own, or one that plays it.

Both are asked the same things, so that what is played is what systemd does.
"""

import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.fakes.service_manager import FakeServiceManager
from tests.helpers.programs import environment
from tests.system.daemons import ROOT, START_SECONDS_MAX, Node, wait_until
from tests.system.private_systemd import PrivateSystemd

UNIT = ROOT / "systemd/ramsterd.service"
SERVICE = "ramsterd.service"
# What is left of the unit: the rest needs a user, folders and rights that tests have not.
KEPT_SETTINGS = {
    "Type", "NotifyAccess", "WatchdogSec", "FileDescriptorStoreMax", "Restart", "RestartSec", "ExecStopPost",
    "TimeoutStartSec", "TimeoutStopSec", "KillMode", "StartLimitIntervalSec", "StartLimitBurst", "LimitNOFILE",
}  # fmt: skip


class Managed(Protocol):
    """A daemon and its manager."""

    node: Node

    def start(self) -> None:
        """`systemctl start`, until the daemon is ready."""
        ...

    def restart(self) -> None:
        """`systemctl restart`, until the next one is ready."""
        ...

    def crash(self, number: signal.Signals) -> None:
        """The process ends by a signal; wait until the next one is ready."""
        ...

    def stop(self) -> None:
        """`systemctl stop`, until it has."""
        ...

    def main_pid(self) -> int:
        """Return the id of the process."""
        ...

    def count_stored(self) -> int:
        """Return how many descriptors the manager has."""
        ...


def settings(unit: Path) -> list[str]:
    """Return the lines of our unit that say what a manager does when, with its sections."""
    found = [
        line
        for line in unit.read_text().splitlines()
        if line.startswith("[") or line.partition("=")[0] in KEPT_SETTINGS
    ]
    return found[: found.index("[Install]")]


class BySystemd:
    """A real one."""

    def __init__(self, node: Node, systemd: PrivateSystemd) -> None:
        self.node = node
        self._systemd = systemd

    @staticmethod
    def unit(node: Node, changes: Mapping[str, str]) -> str:
        """Return our unit, with the program of this tree, and with parts of its text replaced."""
        program = " ".join(map(shlex.quote, [*node.program, "run", "--config", str(node.config)]))
        names = ("PATH", "PYTHONPATH", "PYTHONWARNINGS")
        variables = {**environment(), "PYTHONPATH": str(ROOT)}
        text = "\n".join(settings(UNIT))
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        return "\n".join([
            text,
            f"ExecStart={program}",
            *(f"Environment={name}={variables[name]}" for name in names),
            f"StandardOutput=append:{node.log_path}",
            f"StandardError=append:{node.log_path}",
            "",
        ])  # fmt: skip

    def start(self) -> None:
        self._systemd.ctl("start", SERVICE)

    def restart(self) -> None:
        self._systemd.ctl("restart", SERVICE)

    def restart_without_waiting(self) -> None:
        self._systemd.ctl("restart", "--no-block", SERVICE)

    def crash(self, number: signal.Signals) -> None:
        before = self.main_pid()
        self.send(number)
        wait_until(
            lambda: self.main_pid() not in {0, before} and self._is_active(),
            "systemd has started the next process",
            seconds_max=START_SECONDS_MAX,
        )

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._systemd.ctl("kill", "--kill-who=main", f"--signal={int(number)}", SERVICE)

    def add_drop_in(self, *lines: str) -> None:
        """Change the unit while it runs, and have systemd read it."""
        self._systemd.add_drop_in(SERVICE, "\n".join(["[Service]", *lines, ""]))

    def wait_active(self) -> None:
        """Wait until a process of the unit is ready."""
        wait_until(self._is_active, "the unit is active", seconds_max=START_SECONDS_MAX)

    def _is_active(self) -> bool:
        return self._systemd.show(SERVICE, "ActiveState") == "active"

    def stop(self) -> None:
        self._systemd.ctl("stop", SERVICE)

    def main_pid(self) -> int:
        return int(self._systemd.show(SERVICE, "MainPID"))

    def count_stored(self) -> int:
        return int(self._systemd.show(SERVICE, "NFileDescriptorStore"))


class ByFake:
    """One that plays it."""

    def __init__(self, node: Node, manager: FakeServiceManager) -> None:
        self.node = node
        self.manager = manager

    def start(self) -> None:
        ready = self.manager.heard.count(["READY=1"])
        with self.node.log_path.open("ab") as log:
            self.node.process = self.manager.start_process(
                [*self.node.program, "run", "--config", str(self.node.config)],
                env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(
            lambda: self.manager.heard.count(["READY=1"]) > ready or self._status() is not None,
            "the daemon is ready",
            seconds_max=START_SECONDS_MAX,
        )

    def _status(self) -> int | None:
        assert self.node.process is not None
        return self.node.process.poll()

    def restart(self) -> None:
        self.node.send_signal(signal.SIGTERM)
        assert self.node.wait_end() == 0, self.node.log
        self.start()

    def crash(self, number: signal.Signals) -> None:
        self.node.send_signal(number)
        assert self.node.wait_end() == -number
        self.start()

    def stop(self) -> None:
        self.node.send_signal(signal.SIGTERM)
        assert self.node.wait_end() == 0, self.node.log
        self.manager.drop_all()

    def main_pid(self) -> int:
        assert self.node.process is not None
        return self.node.process.pid

    def count_stored(self) -> int:
        return len(self.manager.stored)


@contextmanager
def by_fake(node: Node, folder: Path) -> Iterator[ByFake]:
    """Yield a daemon that is not started yet, under a manager that plays systemd."""
    with FakeServiceManager(folder, descriptors_max=4111, says_max=False) as manager:
        managed = ByFake(node, manager)
        yield managed
        if node.process is not None:
            managed.stop()
        note_leftovers(node)


@contextmanager
def by_systemd(
    node: Node, folder: Path, shared: list[Path], changes: Mapping[str, str] | None = None
) -> Iterator[BySystemd]:
    """Yield a daemon that is not started yet, under a real systemd."""
    units = {SERVICE: BySystemd.unit(node, changes or {})}
    with PrivateSystemd(folder, units, shared) as systemd:
        managed = BySystemd(node, systemd)
        try:
            yield managed
        finally:
            managed.stop()
            note_leftovers(node)


def note_leftovers(node: Node) -> None:
    """The manager had the listening sockets, so nobody has removed their files; the next start does."""
    node.leftovers = {path.name for path in (node.nbd, node.control) if path.exists()}
