"""The disk of a guest that is a node: ramsterd, and all that it takes to run it.

Unlike other guests it has its programs on a disk, as a machine has: what was read from there is dropped first when memory
is short, and comes back.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.guest.image import CACHE, HERE, Image, compile_static, kept_kernel, pack, run
from tests.guest.interpreter import copy_binary, copy_daemon, copy_program
from tests.helpers.requirements import require_tool
from tests.system.daemons import Node

GUEST_ADDRESS = "10.0.2.15"
DISK_MEBIBYTES = 192
# Of util-linux: takes a right away, which a unit of systemd does by a line.
_SETPRIV = "setpriv"
_FOLDERS = ("bin", "dev", "etc/ramster", "proc", "run", "sys", "tmp", "var/lib/ramster")

# The first process of all.  The disk has the rest.
_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox modprobe -a virtio_pci virtio_blk
until [ -b /dev/vda ]; do /bin/busybox usleep 10000; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox cp /ramster/* /root/etc/ramster
exec /bin/busybox switch_root /root /init
"""


# The only thing that `ramsterctl doctor --apply` asks of systemd; the kernel takes what systemd takes.
_SYSTEMCTL = """#!/bin/sh
[ $1 = set-property ] || exit 1
case $3 in
MemoryMin=*) file=memory.min ;;
MemoryMax=*) file=memory.max ;;
MemorySwapMax=*) file=memory.swap.max ;;
*) exit 1 ;;
esac
echo ${3#*=} >/sys/fs/cgroup/$2/$file
"""


def make_disk(target: Path) -> None:
    """Make a disk with ramsterd and all that its guest runs."""
    require_tool("mkfs.ext4", _SETPRIV)
    kept_kernel()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in _FOLDERS:
            (root / name).mkdir(parents=True)
        shutil.copytree(CACHE / "modules", root, dirs_exist_ok=True)
        _add_busybox(root)
        for name, source in (("eater", "eater.c"), ("swapon-discard", "swapon.c")):
            compile_static(HERE / source, root / "bin" / name)
        _add_tool(root, _SETPRIV)
        _add_script(root / "bin" / "systemctl", _SYSTEMCTL)
        daemon = copy_daemon(root)
        control = copy_program(root, ["nbd", "attach"])
        copy_program(root, ["doctor"])
        text = (HERE / "init-own").read_text()
        text = text.replace("@RAMSTERD@", daemon).replace("@RAMSTERCTL@", control)
        _add_script(root / "init", text)
        target.unlink(missing_ok=True)
        run("mkfs.ext4", "-q", "-d", root, target, f"{DISK_MEBIBYTES}M")


def make_initramfs(target: Path, files: Mapping[str, str]) -> Image:
    """Return a kernel, and what goes on with the disk, on which it puts the files of a node."""
    with pack(target) as root:
        shutil.copytree(CACHE / "modules", root, dirs_exist_ok=True)
        (root / "ramster").mkdir()
        for name, text in files.items():
            (root / "ramster" / name).write_text(text)
        _add_script(root / "init", _INIT)
    return Image(kept_kernel(), target)


def devices(disk: Path, node: Node) -> list[str]:
    """Return the devices of a guest that is this node."""
    ways = ",".join(
        f"hostfwd={way}:127.0.0.1:{node.port}-{GUEST_ADDRESS}:{node.port}" for way in ("tcp", "udp")
    )
    return [
        "-netdev", f"user,id=n0,{ways}", "-device", "virtio-net-pci,netdev=n0,romfile=",
        # What is written is for this run only.
        "-drive", f"file={disk},if=none,id=d0,format=raw,snapshot=on",
        "-device", "virtio-blk-pci,drive=d0",
    ]  # fmt: skip


def _add_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _add_busybox(root: Path) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in run(busybox, "--list").decode().split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")


def _add_tool(root: Path, name: str) -> None:
    found = shutil.which(name)
    assert found is not None
    copy_binary(root, Path(found).resolve())
    target = root / "bin" / name
    target.unlink(missing_ok=True)  # one of busybox
    target.symlink_to(Path(found).resolve())
