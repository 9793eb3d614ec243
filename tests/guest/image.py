"""The guest: Debian's cloud kernel and initramfs archives of our own, made once and kept below .venv.

Everything comes from Debian packages by name; nothing of it is installed but the tools that build and run it.  An archive
is made anew when what it is made of has changed, by who comes first: tests of several workers boot the same one.
"""

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guest.interpreter import ROOT, copy_program
from tests.helpers.requirements import require_tool

HERE = Path(__file__).parent
CACHE = ROOT / ".venv" / "guest"
TOOLS = ("qemu-system-x86_64", "busybox", "cpio", "gcc", "apt-get", "apt-cache", "dpkg", "depmod")
KERNEL_PACKAGE = "linux-image-cloud-amd64"
_MODULE_NAMES = {"virtio.ko", "virtio_ring.ko", "virtio_pci.ko", "virtio_blk.ko",
                 "virtio_pci_modern_dev.ko", "virtio_pci_legacy_dev.ko",
                 "virtio_net.ko", "net_failover.ko", "failover.ko", "nbd.ko",
                 "zram.ko", "zsmalloc.ko", "lz4.ko", "lz4_compress.ko"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    initramfs: Path


class ToolFailed(AssertionError):
    """A tool that makes images did not do its work."""


def run(*command: str | Path, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    """Run a tool; its output is in the error if it fails."""
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, input=data, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise ToolFailed(f"{command}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def make_image(*, has_ramsterctl: bool = False) -> Image:
    """Return the guest; one with `ramsterctl` attaches its disk itself."""
    if has_ramsterctl:
        packages = (
            ROOT / each for each in ("config", "heartbeat", "net", "nodemanager", "ramsterd")
        )
        program = [path for package in packages for path in package.rglob("*.py")]
        return cached("ramsterctl", program, lambda root: fill(root, has_ramsterctl=True))
    return cached("plain", [], lambda root: fill(root, has_ramsterctl=False))


def cached(name: str, sources: Iterable[Path], fill: Callable[[Path], None]) -> Image:
    """Return the image of that name, its archive made by `fill` unless nothing of its sources has changed.

    Args:
        name: Tells archives apart.
        sources: What it is made of, besides this folder and the interpreter.
        fill: Puts what belongs into it into the folder that it is given.
    """
    require_tool(*TOOLS)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = kept_kernel()
        made_of = hashlib.sha256(sys.version.encode() + kernel.read_bytes())
        for path in sorted({*sources, *HERE.iterdir()}):
            if path.is_file():
                made_of.update(path.read_bytes())
        archive = CACHE / f"initramfs-{name}-{made_of.hexdigest()[:16]}.gz"
        if not archive.exists():
            for old in CACHE.glob(f"initramfs-{name}-*"):
                old.unlink()
            with pack(archive) as root:
                fill(root)
    return Image(kernel, archive)


def kept_kernel() -> Path:
    """Return the kernel; it and its modules are fetched on first use."""
    kernel = CACHE / "kernel"
    kept = {path.name for path in (CACHE / "modules").rglob("*.ko")}
    if not kernel.exists() or kept != _MODULE_NAMES:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            fetch_kernel(Path(folder))
    return kernel


def fetch_kernel(folder: Path) -> None:
    """Download the cloud kernel and keep its image and its modules in CACHE."""
    update_packages()
    try:
        depends = run("apt-cache", "depends", KERNEL_PACKAGE).decode()
        package = next(word for word in depends.split() if word.startswith("linux-image-6"))
        unpack_packages(folder, folder / "root", package)
    except ToolFailed as error:
        pytest.skip(f"needs {KERNEL_PACKAGE}: {error}")
    (kernel,) = (folder / "root" / "boot").glob("vmlinuz-*")
    release = kernel.name.removeprefix("vmlinuz-")
    run("depmod", "-b", folder / "root", release)
    source = folder / "root" / "lib" / "modules" / release
    target = CACHE / "modules" / "lib" / "modules" / release
    shutil.rmtree(CACHE / "modules", ignore_errors=True)
    for path in source.rglob("*.ko"):
        if path.name in _MODULE_NAMES:
            kept = target / path.relative_to(source)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
    for path in source.glob("modules.*"):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    run("depmod", "-b", CACHE / "modules", release)
    shutil.copy(kernel, CACHE / "kernel")


def update_packages() -> None:
    """Let apt look which packages there are: without a network, those that it knows already."""
    subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)


def unpack_packages(folder: Path, root: Path, *packages: str) -> None:
    """Download packages to an empty folder and unpack them below a root; nothing is installed."""
    if os.geteuid() == 0:
        os.chown(folder, *_apt_user())
    run("apt-get", "download", "-qq", *packages, cwd=folder)
    for archive in folder.glob("*.deb"):
        run("dpkg", "-x", archive, root)


def _apt_user() -> tuple[int, int]:
    """Return the ids that apt downloads as; ours, where there is no such user."""
    import pwd  # noqa: PLC0415  only here

    try:
        entry = pwd.getpwnam("_apt")
    except KeyError:
        return os.getuid(), os.getgid()
    return entry.pw_uid, entry.pw_gid


def compile_static(source: Path, target: Path) -> None:
    """Compile a C program that needs nothing beside itself."""
    run("gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", target, source, "-lm")


@contextmanager
def pack(target: Path) -> Iterator[Path]:
    """Yield a folder with busybox, and pack what it becomes as an initramfs."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bin").mkdir()
        busybox = shutil.which("busybox")
        assert busybox is not None
        shutil.copy(busybox, root / "bin" / "busybox")
        yield root
        names = b"\0".join(str(path.relative_to(root)).encode() for path in sorted(root.rglob("*")))
        archive = run("cpio", "--null", "-o", "-H", "newc", "--quiet", cwd=root, data=names)
    unfinished = target.with_suffix(".new")
    unfinished.write_bytes(gzip.compress(archive, 1))
    unfinished.rename(target)


def fill(root: Path, *, has_ramsterctl: bool) -> None:
    """Add the modules, our programs and init."""
    for name, source in (("hog", "hog.c"), ("swapon-discard", "swapon.c")):
        compile_static(HERE / source, root / "bin" / name)
    shutil.copytree(CACHE / "modules", root, dirs_exist_ok=True)
    if has_ramsterctl:
        line = copy_program(root, ["nbd", "attach"])
        text = (HERE / "init-nbd").read_text()
        (root / "init").write_text(text.replace("\t@RAMSTERCTL@", f"\t{line}"))
    else:
        shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
