"""A real systemd, as the manager of a user, in namespaces of its own.

It has its own processes, mounts, control groups, /run and /tmp, and knows the units of one folder alone.  So it can do
nothing to the machine, and ends with the test.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.helpers.requirements import require_root, require_tool
from tests.plugins.skips import SHOWS_NOTHING
from tests.system.daemons import wait_until

SYSTEMD: Final = Path("/lib/systemd/systemd")
# Every unit orders itself around these, and they are not to be those of the machine.
TARGETS: Final = ("default.target", "basic.target", "shutdown.target", "exit.target")
START_SECONDS_MAX: Final = 30.0
COMMAND_SECONDS_MAX: Final = 90.0

# $1: control group, $2: folder of units, then paths that are the same inside.
SCRIPT: Final = """\
set -eu
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
units=$1
shift
number=0
for path; do
    number=$((number + 1))
    mkdir -p /run/shared/$number
    mount --rbind "$path" /run/shared/$number
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
number=0
for path; do
    number=$((number + 1))
    mkdir -p "$path"
    mount --rbind /run/shared/$number "$path"
done
# Else it says that the system was not booted with systemd.
mkdir -p /run/systemd/system /run/user/0 /run/home
cd /
env -i PATH="$PATH" HOME=/run/home XDG_RUNTIME_DIR=/run/user/0 SYSTEMD_UNIT_PATH="$units" \\
    SYSTEMD_LOG_TARGET=console /lib/systemd/systemd --user --unit=default.target &
wait
"""
ENTER: Final = """\
echo $$ > "$0/cgroup.procs"
exec unshare --mount --pid --cgroup --fork --mount-proc --kill-child sh -c "$SCRIPT" systemd "$@"
"""


# What the script needs, tried where it harms nobody.
PROBE: Final = (
    "unshare", "--mount", "--pid", "--cgroup", "--fork", "--mount-proc", "sh", "-ec",
    "mount --make-rprivate /; mount -t cgroup2 none /sys/fs/cgroup; mount -t tmpfs none /run",
)  # fmt: skip


class PrivateSystemd:
    """Runs from `with` on, until the block ends."""

    def __init__(self, folder: Path, units: Mapping[str, str], shared: list[Path]) -> None:
        """Prepare it, or skip the test where it can't be had.

        Args:
            folder: For files of its own.
            units: By name, what is in their files.
            shared: Folders that are the same inside; all else below /tmp and /run is not there.
        """
        require_root()
        require_tool("unshare", "nsenter", "systemctl")
        if not SYSTEMD.exists():
            pytest.skip("needs systemd (systemd)")
        self._units = folder / "units"
        self._units.mkdir()
        for name in TARGETS:
            (self._units / name).write_text("[Unit]\nDescription=nothing\nDefaultDependencies=no\n")
        for name, text in units.items():
            (self._units / name).write_text(text)
        self._log = folder / "systemd.log"
        self._shared = [self._units, *shared]
        if (done := subprocess.run(PROBE, capture_output=True, check=False)).returncode:
            pytest.skip(f"{SHOWS_NOTHING}namespaces and mounts can't be had: {done.stderr!r}")
        self._group = make_group()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", ENTER, self._group, self._units, *self._shared],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "SCRIPT": SCRIPT},
            )  # fmt: skip
        wait_until(self._is_up, f"systemd runs: {self._log}", seconds_max=START_SECONDS_MAX)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        if not self._children(self._process.pid):
            return False
        done = self._run("is-system-running")
        return done.stdout.strip() in {"running", "degraded"}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if kind is not None:
            print(f"--- log of systemd\n{self._log.read_text()}")

    def _end(self) -> None:
        if self._process is not None:
            # The first process of the namespace ends with it, and with that one all others.
            self._process.kill()
            self._process.wait()
        wait_until(lambda: remove_group(self._group), f"{self._group} is empty")

    @staticmethod
    def _children(pid: int) -> list[str]:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def ctl(self, *arguments: str) -> str:
        """Return what systemctl(1) prints; it must not fail."""
        done = self._run(*arguments)
        assert done.returncode == 0, f"systemctl {arguments}: {done.stderr}{self._log.read_text()}"
        return done.stdout

    def add_drop_in(self, unit: str, text: str) -> None:
        """Add a file to a unit, and have systemd read it."""
        folder = self._units / f"{unit}.d"
        folder.mkdir()
        (folder / "more.conf").write_text(text)
        self.ctl("daemon-reload")

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.ctl("show", "--value", f"--property={name}", unit).strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert self._process is not None
        (first,) = self._children(self._process.pid)
        return subprocess.run(
            ["nsenter", "--target", first, "--mount", "--pid", "systemctl", "--user", *arguments],
            capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX,
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/run/user/0"},
        )  # fmt: skip


def make_group(name: str = "systemd") -> Path:
    """Return a new control group of the unified hierarchy (cgroups(7)), or skip the test.

    `name` tells it from others of the test.
    """
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    ours = [
        line.removeprefix("0::").lstrip("/")
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    ]
    if not roots or not ours:
        pytest.skip(f"{SHOWS_NOTHING}there is no unified hierarchy of control groups")
    group = roots[0] / ours[0] / f"ramster-test-{os.getpid()}-{name}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"{SHOWS_NOTHING}no control group can be made: {error.strerror}")
    return group


def remove_group(group: Path) -> bool:
    """Return whether it is gone, with all groups below."""
    try:
        for path in [*sorted(group.rglob("*"), reverse=True), group]:
            if path.is_dir():
                path.rmdir()
    except OSError:
        return False
    return True
