"""Machines of a rack: each has its own disk, network, processes and a real systemd as its first process.

The disk of a machine is what it changed of the files of this one, which it sees read-only below: so it has the programs that
are installed here, and none of the services.  It outlives the power of the machine.  All is in namespaces that end with the
test, and nothing of it is seen outside but network namespaces and a control group.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from packages.deb import architecture
from tests.helpers.requirements import require_root, require_tool
from tests.helpers.roots import PATH
from tests.plugins.skips import SHOWS_NOTHING
from tests.system.daemons import wait_until
from tests.system.namespaces import Network
from tests.system.private_systemd import SYSTEMD, make_group, remove_group

COMMAND_SECONDS_MAX: Final = 180.0
BOOT_SECONDS_MAX: Final = 60.0
UNITS: Final = Path("/usr/lib/systemd/system")
# What a machine needs to boot, and what our unit names.  Whatever else is installed here does not start there.
BOOTED: Final = (
    "basic.target", "sysinit.target", "multi-user.target", "sockets.target", "timers.target", "paths.target",
    "slices.target", "swap.target", "local-fs.target", "local-fs-pre.target", "network.target", "network-online.target",
    "remote-fs-pre.target", "time-sync.target", "shutdown.target", "umount.target", "final.target", "rescue.target",
    "emergency.target", "systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket",
    "prometheus.service",
)  # fmt: skip
WANTED: Final = {
    "sysinit.target": "systemd-journald.service",
    "sockets.target": "systemd-journald.socket",
}
# Folders that begin empty: what is in those of this machine is nobody's there.
EMPTY: Final = (
    "root",
    "home",
    "usr/local",
    "etc/init.d",
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "usr/lib/systemd/system-generators",
    "var/cache/apt",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/dpkg/triggers",
    "var/lib/dpkg/updates",
    "var/lib/prometheus/metrics2",
    "var/log/journal",
)
# Not there until the package makes them.
MISSING: Final = ("etc/ramster", "var/lib/ramster")
# All that dpkg knows of: what our package depends on.  So no trigger of another package is run, and nobody cares whether this
# machine is just installing something.
INSTALLED: Final = ("python3", "libc6", "libgcc-s1", "procps", "systemd")
STANZA: Final = """\
Package: {name}
Status: install ok installed
Maintainer: nobody
Architecture: {architecture}
Version: {version}
Description: what this machine has

"""
FILES: Final = {
    # Nothing is fetched from a mirror, and a disk that is memory has nothing to wait for.
    "etc/apt/apt.conf.d/99of-tests": 'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n',
    "etc/dpkg/dpkg.cfg.d/of-tests": "force-unsafe-io\n",
    "var/lib/dpkg/available": "",
}
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
        self._make_disk(rack.seen(self._folder))

    def _make_disk(self, folder: Path) -> None:
        for name in ("disk", "work", "root"):
            (folder / name).mkdir(parents=True)
        disk = folder / "disk"
        for name in EMPTY:
            make_folders(disk, name)
            os.setxattr(disk / name, "trusted.overlay.opaque", b"y")
        for name in MISSING:
            make_folders(disk, str(Path(name).parent))
            # Linux, overlayfs.rst: so a file that is below is hidden.
            os.mknod(disk / name, stat.S_IFCHR, os.makedev(0, 0))
        for name in BOOTED:
            if (UNITS / name).exists():
                shutil.copy(UNITS / name, disk / "usr/lib/systemd/system")
        for target, unit in WANTED.items():
            wants = disk / f"etc/systemd/system/{target}.wants"
            wants.mkdir()
            (wants / unit).symlink_to(UNITS / unit)
        texts = {
            **FILES,
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n{self._rack.hosts_file()}",
            "etc/machine-id": f"{self.name.encode().hex():0>32}\n",
            "var/lib/dpkg/status": "".join(map(stanza, INSTALLED)),
            **{f"var/lib/dpkg/info/{name}.list": "" for name in INSTALLED},
        }
        for name, text in texts.items():
            make_folders(disk, str(Path(name).parent))
            (disk / name).write_text(text)

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


def make_folders(disk: Path, name: str) -> None:
    """Make a folder of a disk and those above it, with the owners and modes of those that are below."""
    for path in [*reversed(Path(name).parents), Path(name)]:
        if (disk / path).exists():
            continue
        (disk / path).mkdir()
        (disk / path).chmod(0o755)
        if (below := Path("/") / path).exists():
            os.chown(disk / path, below.stat().st_uid, below.stat().st_gid)
            (disk / path).chmod(stat.S_IMODE(below.stat().st_mode))


def stanza(name: str) -> str:
    """Return what dpkg notes of a package that is installed here."""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"needs {name} ({name})")
    return STANZA.format(name=name, architecture=architecture(), version=done.stdout)
