"""What is in files of /proc, as the kernel of this machine writes them and as made ones have it."""

from pathlib import Path

import pytest

from ramsterd.doctor import proc_texts

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max locked memory         8388608              unlimited            bytes
Max open files            1024                 65536                files
"""
STATUS = """\
Name:	ramsterd
VmLck:	    2048 kB
VmRSS:	    1024 kB
CapEff:	0000000001004000
"""
FLUSHER = proc_texts.IO_FLUSHER | 0x40_0000


def stat(flags: int) -> str:
    return f"7 (a) b) (c) S 1 7 7 0 -1 {flags} 100 0 0 0 0 0\n"


def test_a_process_is_read_from_its_files() -> None:
    process = proc_texts.process_of(
        7, limits=LIMITS, status=STATUS, oom_score_adj="-1000\n", stats=[stat(FLUSHER)]
    )
    assert (process.pid, process.descriptors_max) == (7, 65536)
    assert (process.is_locked, process.locked_bytes) == (True, 2 << 20)
    assert process.oom_score_adj == -1000
    assert process.is_io_flusher
    assert process.capabilities & proc_texts.CAP_SYS_RESOURCE


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([FLUSHER, FLUSHER], True),
        ([FLUSHER, 0x40_0000], False),
        ([proc_texts.PF_MEMALLOC_NOIO], False),
        ([], False),
    ],
)
def test_each_thread_must_be_a_flusher(flags: list[int], expected: bool) -> None:
    process = proc_texts.process_of(
        7, limits="", status="", oom_score_adj="", stats=[stat(each) for each in flags]
    )
    assert process.is_io_flusher is expected


def test_what_can_not_be_read_tells_nothing() -> None:
    process = proc_texts.process_of(7, limits="", status="", oom_score_adj="?", stats=["", "x)"])
    assert (process.descriptors_max, process.is_locked, process.oom_score_adj) == (0, False, 0)
    assert not process.is_io_flusher


@pytest.mark.parametrize(
    ("locked", "resident", "expected"),
    [(0, 10, False), (10, 10, True), (9, 10, True), (8, 10, False), (0, 0, False)],
)
def test_a_process_is_locked_if_all_but_a_few_pages_are(
    locked: int, resident: int, expected: bool
) -> None:
    status = f"VmLck:\t{locked} kB\nVmRSS:\t{resident} kB\n"
    process = proc_texts.process_of(7, limits="", status=status, oom_score_adj="0", stats=[])
    assert process.is_locked is expected


def test_pressure_is_that_of_five_minutes() -> None:
    text = "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\nfull avg10=5.00 avg60=6.00 avg300=7.50 total=8\n"
    assert proc_texts.stalled_percent_of(text) == 7.5
    assert proc_texts.stalled_percent_of("") is None


def test_files_of_this_kernel_are_read() -> None:
    own = Path("/proc/self")
    process = proc_texts.process_of(
        1,
        limits=(own / "limits").read_text(),
        status=(own / "status").read_text(),
        oom_score_adj=(own / "oom_score_adj").read_text(),
        stats=[(own / "stat").read_text()],
    )
    assert process.descriptors_max != 0
    assert process.oom_score_adj == int((own / "oom_score_adj").read_text())
    # Every program that was not just forked has one of them.
    assert proc_texts.flags_of((own / "stat").read_text()) & 0x40_0000
