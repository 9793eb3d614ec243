"""Spare heap: what a burst of requests takes is there, and stays there.

Minor page faults tell: each is a page that the kernel had to find.  Each in a process of its own, for none of it can be
taken back.
"""

import platform
import subprocess
import sys

import pytest

from ramsterd.host import heap
from ramsterd.host.heap import SPARE_BYTES, SPARE_OBJECT_BYTES

# What many clients may want at the same time: small objects, pages, and receive buffers.
BURST = """
import resource
from ramsterd.host import heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def burst():
    before = faults()
    taken = [bytes(479) for _ in range(6000)], [bytes(4096) for _ in range(2000)], [bytearray(1 << 18) for _ in range(16)]
    taken = None
    return faults() - before
"""


def run(body: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BURST + body],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_burst_takes_no_page_from_the_kernel() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs mallopt (glibc)")
    is_kept, spare_bytes, *bursts = run(
        "print(heap.keep_freed_memory())\n"
        "spare = heap.SpareHeap()\n"
        "print(spare.spare_bytes)\n"
        "print(burst(), burst(), burst())"
    )
    assert (is_kept, int(spare_bytes)) == ("True", SPARE_BYTES)
    # The lists are longer than any before, and that of Python's own bookkeeping.
    assert max(map(int, bursts)) < 50
    # Without it, every burst takes all of its pages anew.
    assert min(map(int, run("print(burst(), burst(), burst())"))) > 2000


def test_a_c_library_without_mallopt_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_libc", object())
    assert not heap.keep_freed_memory()


def test_what_malloc_refuses_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_malloc", lambda _: None)
    assert heap.SpareHeap().spare_bytes == SPARE_OBJECT_BYTES
