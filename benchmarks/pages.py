"""Real pages: those of the files below a folder, cut at 4 KiB, without those of one repeated word.  And fio's."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fio import COMPRESS_PERCENT

PAGE_BYTES = 4096
FOLDERS = ("/usr/lib", "/usr/bin", "/usr/share")
# Of one file at most so much: a few huge ones would drown the rest.
FILE_BYTES_MAX = 4 * 1024 * 1024


def real_pages(count: int) -> list[bytes]:
    """Return `count` pages; a small machine's files are taken again from the start."""
    pages: list[bytes] = []
    for page in _pages_of_files():
        pages.append(page)
        if len(pages) == count:
            return pages
    assert pages, "no readable file"
    return [pages[place % len(pages)] for place in range(count)]


def fio_pages(count: int) -> list[bytes]:
    """Return `count` pages as fio makes them: zeros at the end, and before them noise, of each page another."""
    noise_bytes = PAGE_BYTES * (100 - COMPRESS_PERCENT) // 100
    rng = random.Random(1)
    return [rng.randbytes(noise_bytes).ljust(PAGE_BYTES, b"\0") for _ in range(count)]


def _pages_of_files() -> Iterator[bytes]:
    for path in _files():
        try:
            data = path.read_bytes()[:FILE_BYTES_MAX]
        except OSError:
            continue
        for start in range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES):
            page = data[start : start + PAGE_BYTES]
            if page != page[:8] * (PAGE_BYTES // 8):
                yield page


def _files() -> Iterator[Path]:
    """Yield regular files in one order, so that every run on a machine sees the same pages."""
    for top in FOLDERS:
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path
