"""How fast a path is: reads and writes of one page with O_DIRECT, past the cache of the kernel.

The file has no name, or loses it as soon as it is open, so nothing of it stays however the command
ends.  A file that is there is never opened.
"""

import errno
import mmap
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from config.limits import PAGE_BYTES
from config.mounts import file_system_at
from ramsterd.admin.bench_rows import DEPTH, OPERATIONS, row_of
from ramsterd.admin.latencies import Latencies

MEMORY_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
# Written at once when the file is filled.
FILL_PAGES: Final = 64
MOUNTINFO: Final = Path("/proc/self/mountinfo")


class CannotMeasure(Exception):
    """The path can't be measured; the message is one line for the operator."""


def bench_disk(
    path: Path,
    pages: Sequence[bytes],
    *,
    pages_count: int,
    seconds: float,
    say: Callable[[str, int], None],
) -> list[dict[str, object]]:
    """Return a row for each operation.

    Args:
        path: A folder, or a file that is not there yet.
        pages: What is written.
        pages_count: The size of the file.
        seconds: Of each row.
        say: Told operation and depth before each.

    Raises:
        CannotMeasure: No file can be had there that passes the cache.
    """
    with open_unnamed(path) as descriptor:
        _fill(descriptor, pages, pages_count, path)
        rows = []
        for operation in OPERATIONS:
            is_write = operation == "write"
            say(operation, 1)
            one = _Loop(descriptor, pages, pages_count, is_write=is_write, seed=0)
            one.run(time.perf_counter() + seconds / 2)
            say(operation, DEPTH)
            loops = [
                _Loop(descriptor, pages, pages_count, is_write=is_write, seed=1 + number)
                for number in range(DEPTH)
            ]
            done = run_all(loops, seconds / 2)
            rows.append(
                row_of(
                    "path", str(path), operation, one.latencies,
                    pages_per_second=done / (seconds / 2), problem="",
                )
            )  # fmt: skip
        return rows


@contextmanager
def open_unnamed(path: Path) -> Iterator[int]:
    """Yield a file that passes the cache, and that nobody finds by a name.

    Raises:
        CannotMeasure: There can be none.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and os.path.lexists(path):
        raise CannotMeasure(
            f"--path {path}: found a file, which is never overwritten; expected a folder, or the name of a new file"
        )
    kind = file_system_at(_read_mounts(), Path(os.path.realpath(folder)))
    if kind in MEMORY_FILE_SYSTEMS:
        raise CannotMeasure(
            f"--path {path}: found a {kind}, which is memory; expected a path on a disk"
        )
    descriptor = _open(folder, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_mounts() -> str:
    try:
        return MOUNTINFO.read_text(errors="surrogateescape")
    except OSError:
        return ""


def _open(folder: Path, path: Path) -> int:
    flags = os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC
    try:
        try:
            return os.open(folder, flags | os.O_TMPFILE, 0o600)
        except OSError as error:
            # Not every file system has files without a name.
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
                raise
        name = folder / f".ramster-bench-{secrets.token_hex(8)}"
        descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
        name.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EINVAL:
            reason = "no O_DIRECT there: what is measured would be the cache of the kernel"
        raise CannotMeasure(f"--path {path}: {reason}") from None
    return descriptor


def _fill(descriptor: int, pages: Sequence[bytes], pages_count: int, path: Path) -> None:
    """Give the file its blocks, so that no write has to find one."""
    buffer = mmap.mmap(-1, FILL_PAGES * PAGE_BYTES)
    try:
        for first in range(0, pages_count, FILL_PAGES):
            for place in range(FILL_PAGES):
                start = place * PAGE_BYTES
                buffer[start : start + PAGE_BYTES] = pages[(first + place) % len(pages)]
            count = min(FILL_PAGES, pages_count - first) * PAGE_BYTES
            os.pwritev(descriptor, [memoryview(buffer)[:count]], first * PAGE_BYTES)
        os.fsync(descriptor)
    except OSError as error:
        raise CannotMeasure(f"--path {path}: {error.strerror or error}") from None


class _Loop:
    """One after the other."""

    def __init__(
        self,
        descriptor: int,
        pages: Sequence[bytes],
        pages_count: int,
        *,
        is_write: bool,
        seed: int,
    ) -> None:
        self.latencies = Latencies()
        # mmap is aligned as O_DIRECT wants it.
        self._buffer = mmap.mmap(-1, PAGE_BYTES)
        self._buffer[:] = pages[seed % len(pages)]
        call: Callable[..., int] = os.pwritev if is_write else os.preadv
        self._call: Callable[[int], int] = partial(_at, call, descriptor, self._buffer)
        self._pages_count = pages_count
        self._rng = random.Random(seed)  # noqa: S311  places in a file, no secret
        self.problem: OSError | None = None

    def run(self, until: float) -> None:
        """Go on until then; an error ends it."""
        draw, clock, count = self._rng.randrange, time.perf_counter, self._pages_count
        try:
            while (began_at := clock()) < until:
                self._call(draw(count) * PAGE_BYTES)
                self.latencies.add(clock() - began_at)
        except OSError as error:
            self.problem = error


def _at(call: Callable[..., int], descriptor: int, buffer: Any, offset: int) -> int:
    return call(descriptor, [buffer], offset)


def run_all(loops: Sequence[_Loop], seconds: float) -> int:
    """Run loops side by side; return how many operations they did.

    Raises:
        CannotMeasure: The system refused a thread, or the disk an operation.
    """
    # Imports trio, which no other command needs.
    from ramsterd.host.threads import ThreadRefused, start_thread  # noqa: PLC0415  see above

    until = time.perf_counter() + seconds
    try:
        threads = [start_thread(partial(loop.run, until), "bench") for loop in loops]
    except ThreadRefused as error:
        raise CannotMeasure(str(error)) from None
    for thread in threads:
        thread.join()
    for loop in loops:
        if loop.problem is not None:
            raise CannotMeasure(f"the disk answers with an error: {loop.problem.strerror}")
    return sum(loop.latencies.count for loop in loops)
