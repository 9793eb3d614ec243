"""The guest that is measured: a kernel, an initramfs with `init`, a first disk with the program, and what it printed.

It runs under emulation (TCG) on one virtual processor: a compiler took 24 times as long as on the host.  Disks, daemons
and links are not slowed.
"""

import contextlib
import enum
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.swapping.disks import SATA_SSD, drive
from benchmarks.swapping.settings import Setting
from benchmarks.swapping.swap_areas import swap_areas
from tests.guest import image
from tests.guest.image import Image
from tests.guest.machine import Guest

INIT = Path(__file__).parent / "init"
# Of the file system beyond its files, and for each of them.
DISK_SLACK = 1.3
DISK_BYTES_MIN = 16 * 1024 * 1024
# Of the console of a run that was not done.
SHOWN_CHARACTERS = 4000
_FIGURE = re.compile(r"^bench: (\w+) ([0-9.e+-]+)$", re.MULTILINE)
_SWAP_ERROR = re.compile(r"(?:Read|Write)-error on swap-device|I/O error, dev vd[b-z]|SIGBUS")


class Outcome(enum.StrEnum):
    """How a run ended."""

    DONE = "done"
    OUT_OF_MEMORY = "out of memory"
    TOO_SLOW = "too slow"
    SWAP_ERROR = "swap error"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: how it ended, what the guest measured, and how busy the host was just before.

    `figures` are those of `init` and of the program, by their names.
    """

    outcome: Outcome
    figures: dict[str, float]
    load: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """A program and how long it may take; `words` are its arguments, without blanks and commas."""

    disk: Path
    words: tuple[str, ...]
    seconds_max: float


def need_tools() -> None:
    """Raise Skipped unless guests can be made and run."""
    harness.need_tools(*image.TOOLS, "make", "mkfs.ext4", "strip")


def boot_image() -> Image:
    """Return what is booted; the kernel is fetched on first use."""
    try:
        return image.cached("swapping", [INIT], _fill)
    except pytest.skip.Exception as skipped:
        raise harness.Skipped(str(skipped)) from None


def _fill(root: Path) -> None:
    image.compile_static(image.HERE / "swapon.c", root / "bin" / "swapon-discard")
    shutil.copytree(image.CACHE / "modules", root, dirs_exist_ok=True)
    shutil.copy(INIT, root / "init")
    (root / "init").chmod(0o755)


def kernel_release() -> str:
    """Return the version of the guest's kernel."""
    (folder,) = (image.CACHE / "modules" / "lib" / "modules").iterdir()
    return folder.name


@contextmanager
def first_disk(target: Path, work: str) -> Iterator[Path]:
    """Yield the root of a file system with busybox and the script /work, and make a disk of what it becomes."""
    root = target.with_suffix(".root")
    for name in ("proc", "tmp", "dev", "bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("sh", "sed", "awk", "cut", "cat", "md5sum", "usleep", "kill", "grep", "test"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "work").write_text(work)
    (root / "work").chmod(0o755)
    yield root
    used = sum(path.lstat().st_size for path in root.rglob("*"))
    with target.open("wb") as raw:
        raw.truncate(int(used * DISK_SLACK) // 4096 * 4096 + DISK_BYTES_MIN)
    image.run("mkfs.ext4", "-q", "-O", "^has_journal", "-d", root, target)
    shutil.rmtree(root)


def measure(booted: Image, setting: Setting, machine_mebibytes: int, work: Work) -> Run:
    """Run the program once in a setting."""
    load = os.getloadavg()[0]
    started = time.perf_counter()
    with (
        harness.temp_dir() as folder,
        swap_areas(setting, machine_mebibytes, folder, "b") as areas,
    ):
        guest = Guest(
            booted,
            folder / "console",
            f"ramster.work={','.join(work.words)} {areas.word}",
            [*drive("first", work.disk, SATA_SSD, is_read_only=True), *areas.devices],
            mebibytes=setting.guest_mebibytes(machine_mebibytes),
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                guest.wait_end(seconds_max=work.seconds_max)
            said = guest.said
            figures = figures_of(said) | areas.figures()
        finally:
            guest.end()
    outcome = outcome_of(said, figures)
    if outcome is not Outcome.DONE:
        print(said[-SHOWN_CHARACTERS:], file=sys.stderr)
    return Run(
        outcome=outcome,
        figures=figures,
        load=round(load, 2),
        wall_seconds=round(time.perf_counter() - started, 1),
    )


def figures_of(said: str) -> dict[str, float]:
    """Return what a guest measured, by name."""
    return {name: float(value) for name, value in _FIGURE.findall(said)}


def outcome_of(said: str, figures: dict[str, float]) -> Outcome:
    """Judge a run by its console, for QEMU ends with 0 on a panic."""
    if _SWAP_ERROR.search(said):
        return Outcome.SWAP_ERROR
    if "Out of memory: Killed process" in said or figures.get("oom_kill"):
        return Outcome.OUT_OF_MEMORY
    if figures.get("wrong"):
        return Outcome.FAILED
    if "over" not in figures:
        # Still at work when its time was over, unless the kernel died.
        return Outcome.FAILED if "Kernel panic" in said else Outcome.TOO_SLOW
    return Outcome.DONE if figures.get("status") == 0 else Outcome.FAILED
