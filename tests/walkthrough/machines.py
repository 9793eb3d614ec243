"""Machines of a rack: each has its own disk, network, processes and a real systemd as its first process.

A disk outlives the power of its machine.  All is in namespaces that end with the test, and nothing of it is seen outside but
network namespaces and control groups.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.helpers.requirements import require_root, require_tool
from tests.helpers.roots import PATH
from tests.plugins.skips import SHOWS_NOTHING
from tests.system.daemons import wait_until
from tests.system.namespaces import Network
from tests.system.private_systemd import SYSTEMD, make_group, remove_group
from tests.walkthrough.disk import make_disk

COMMAND_SECONDS_MAX: Final = 180.0
BOOT_SECONDS_MAX: Final = 60.0
# $0: the folder of disks.  It ends, and all with it, when its input is closed.
HOLD: Final = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$0"
echo up
read -r line
"""
# $0: control group, then a command.  Behind `ip netns exec` no control group is seen.
JOIN: Final = """\
set -e
echo $$ > "$0/cgroup.procs"
exec "$@"
"""
UNSHARE: Final = (
    "unshare",
    "--mount",
    "--pid",
    "--cgroup",
    "--uts",
    "--ipc",
    "--fork",
    "--kill-child",
)
# $0: name, $1: its folder.
BOOT: Final = """\
set -e
echo "$0" > /proc/sys/kernel/hostname
mount --make-rprivate /
mount -t overlay -o "lowerdir=/,upperdir=$1/disk,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t tmpfs -o mode=755 tmpfs dev
for each in null zero full random urandom tty; do
    touch dev/$each
    mount --bind /dev/$each dev/$each
done
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
pivot_root . mnt
umount -l mnt
exec env -i container=ramster PATH="$PATH" /lib/systemd/systemd --unit=multi-user.target
"""


class Machine:
    """One of them; its power is off at first."""

    def __init__(self, name: str, rack: "Rack", number: int) -> None:
        self.name = name
        self._rack = rack
        self._prefix = rack.network.inside(number)
        self._folder = rack.folder / name
        self._group = Path()
        self._process: subprocess.Popen[bytes] | None = None
        make_disk(rack.seen(self._folder), name, rack.hosts_file())

    def power_on(self) -> None:
        """Boot it, until its systemd has started what is enabled."""
        assert self._process is None, f"{self.name} has power"
        self._group = make_group(self.name)
        with self._rack.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", JOIN, self._group, *self._rack.enter(), *self._prefix,
                 *UNSHARE, "sh", "-c", BOOT, self.name, self._folder],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": PATH},
            )  # fmt: skip
        wait_until(self._is_up, f"{self.name} has booted", seconds_max=BOOT_SECONDS_MAX)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._rack.log.read_text()
        # Before it has a first process, and while that is still a shell, there is nothing to enter.
        if not (children := self._children()) or "systemd" not in self._name_of(children[0]):
            return False
        return self.run("systemctl is-system-running").stdout.strip() in {"running", "degraded"}

    @staticmethod
    def _name_of(pid: str) -> str:
        return Path(f"/proc/{pid}/comm").read_text()

    def _children(self) -> list[str]:
        assert self._process is not None
        pid = self._process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def power_off(self) -> None:
        """End all its processes at once, as a power cut does."""
        if self._process is not None:
            # The first process of its namespace ends with it, and with that one all others.
            self._process.kill()
            self._process.wait()
            self._process = None
            wait_until(lambda: remove_group(self._group), f"{self.name} has no process")

    @property
    def root(self) -> Path:
        """Where all its files are, as seen from outside."""
        return Path(f"/proc/{self._first()}/root")

    def _first(self) -> str:
        (first,) = self._children()
        return first

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Return how a line ended that root typed in a shell there, with all that it printed."""
        enter = ["nsenter", f"--target={self._first()}", "--mount", "--pid", "--net", "--uts"]
        clean = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8"]
        return subprocess.run(
            [*enter, "--ipc", "--cgroup", "--root", "--wd", *clean, "bash", "-c", f"cd\n{line}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=COMMAND_SECONDS_MAX,
        )  # fmt: skip


class Rack:
    """Machines, their power and their disks, from `with` on until the block ends."""

    def __init__(self, folder: Path, network: Network, names: Sequence[str]) -> None:
        """Prepare it, or skip the test where it can't be had.

        Args:
            folder: For its disks and its log.
            network: Where the machines are hosts, in this order.
            names: Their host names.
        """
        require_root()
        require_tool("unshare", "nsenter", "ip")
        if not SYSTEMD.exists():
            pytest.skip("needs systemd (systemd)")
        self.network = network
        self.log = folder / "console.log"
        self.folder = folder / "rack"
        self.folder.mkdir()
        self._names = tuple(names)
        self.machines: dict[str, Machine] = {}
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", HOLD, self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if (said := self._holder.stdout.readline()) != "up\n":
            self._release()
            pytest.skip(f"{SHOWS_NOTHING}mounts can't be had: {said}")
        try:
            for number, name in enumerate(self._names, 1):
                self.machines[name] = Machine(name, self, number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if kind is not None:
            print(f"--- consoles\n{self.log.read_text()}")

    def _end(self) -> None:
        for machine in self.machines.values():
            machine.power_off()
        self._release()

    def _release(self) -> None:
        assert self._holder is not None
        self._holder.communicate()

    def enter(self) -> list[str]:
        """Return what to put before a command that sees the disks."""
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--mount"]

    def seen(self, path: Path) -> Path:
        """Return where a path of the rack is, as seen from outside."""
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def hosts_file(self) -> str:
        """Return the lines of /etc/hosts for all of them."""
        return "".join(
            f"{self.network.address(number)} {name}\n" for number, name in enumerate(self._names, 1)
        )
