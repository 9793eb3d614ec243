"""What a test needs from the machine: named in the skip, and a failure under CI=true (see tests/plugins/skips.py)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ramsterd import compiled

# The Debian package that brings each tool; `tests/install-tools` installs the same ones.
PACKAGES = {
    "git": "git",
    "nbdkit": "nbdkit",
    "nbdinfo": "libnbd-bin",
    "nbdcopy": "libnbd-bin",
    "nbdfuse": "libnbd-bin",
    "mkfs.ext4": "e2fsprogs",
    "fsck.ext4": "e2fsprogs",
    "losetup": "mount",
    "setpriv": "util-linux",
    "umount": "mount",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "gcc": "gcc",
    "make": "make",
    "fio": "fio",
    "ip": "iproute2",
    "nft": "nftables",
    "ss": "iproute2",
    "tc": "iproute2",
    "systemd-analyze": "systemd",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "dpkg-deb": "dpkg",
    "curl": "curl",
    "jq": "jq",
    "mmdebstrap": "mmdebstrap",
    "rpm": "rpm",
    "rpmbuild": "rpm",
    "man": "man-db",
    "mandoc": "mandoc",
    "zsh": "zsh",
    "fish": "fish",
}
# The interpreter that Debian's python3-libnbd belongs to.
SYSTEM_PYTHON = "/usr/bin/python3"


def require_tool(*names: str) -> None:
    """Skip the test unless all these programs are there, by the name of the first that is not."""
    for name in names:
        if shutil.which(name) is None:
            package = PACKAGES.get(name)
            pytest.skip(f"needs {name} ({package})" if package else f"needs {name}")


def require_libnbd() -> str:
    """Return the Python interpreter that can `import nbd`, or skip the test."""
    if Path(SYSTEM_PYTHON).exists():
        probe = subprocess.run(
            [SYSTEM_PYTHON, "-c", "import nbd"], capture_output=True, check=False
        )
        if probe.returncode == 0:
            return SYSTEM_PYTHON
    pytest.skip("needs the nbd module (python3-libnbd)")


def require_compiled() -> None:
    """Skip the test unless the inner loops were built, and are not switched off."""
    if compiled.loops is None:
        pytest.skip(f"needs compiled loops (liblz4-dev, libxxhash-dev, gcc): {compiled.WHY_NOT}")


def require_root() -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def require_namespaces() -> None:
    """Skip the test unless network namespaces can be made."""
    require_root()
    require_tool("ip")
    name = f"ramster-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("needs network namespaces (CAP_SYS_ADMIN)")
    subprocess.run(["ip", "netns", "delete", name], check=True)


def require_mounts() -> None:
    """Skip the test unless it may mount what only its own processes see."""
    require_root()
    require_tool("unshare", "mount")
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs mount namespaces (CAP_SYS_ADMIN)")
