"""The disk of a machine: what it changed of the files of this one, which are below it and stay as they are.

So it has the programs that are installed here, and none of the services.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

import pytest

from packages.deb import LIBRARIES_OF_EXTENSION, architecture
from ramsterd import compiled

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
INSTALLED: Final = (
    *("python3", "libc6", "libgcc-s1", "procps", "systemd"),
    *(LIBRARIES_OF_EXTENSION if compiled.loops is not None else ()),
)
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


def make_disk(folder: Path, host: str, hosts_file: str) -> None:
    """Make what overlayfs needs: what is changed, a place to work, and one to mount it all.

    Args:
        folder: Where they are to be.
        host: The name of the machine.
        hosts_file: The lines for all machines of its network.
    """
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
        "etc/hostname": f"{host}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{hosts_file}",
        "etc/machine-id": f"{host.encode().hex():0>32}\n",
        "var/lib/dpkg/status": "".join(map(stanza, INSTALLED)),
        **{f"var/lib/dpkg/info/{name}.list": "" for name in INSTALLED},
    }
    for name, text in texts.items():
        make_folders(disk, str(Path(name).parent))
        (disk / name).write_text(text)


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
