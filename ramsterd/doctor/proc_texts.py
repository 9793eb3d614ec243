"""What is in the files of /proc that the doctor reads.  Pure: texts in, values out."""

import re
from collections.abc import Iterable
from typing import Final

from ramsterd.doctor.facts import Process

# `flags` of proc_pid_stat(5), by include/linux/sched.h: PR_SET_IO_FLUSHER sets both (kernel/sys.c),
# and both have had these values since it came with Linux 5.6.
PF_MEMALLOC_NOIO: Final = 0x0008_0000
PF_LOCAL_THROTTLE: Final = 0x0010_0000
IO_FLUSHER: Final = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE
# Behind the name, which may hold anything: state, ppid, pgrp, session, tty_nr, tpgid, flags.
_FLAGS_FIELD: Final = 6
# mlockall(2) locks all but a few pages of the kernel's own.
_PARTS: Final = 10
_PARTS_LOCKED_MIN: Final = 9
# linux/capability.h
CAP_SYS_RESOURCE: Final = 1 << 24


def process_of(
    pid: int, *, limits: str, status: str, oom_score_adj: str, stats: Iterable[str]
) -> Process:
    """Return a process by its files.

    Args:
        pid: Its number.
        limits: The text of `limits`.
        status: The text of `status`.
        oom_score_adj: The text of `oom_score_adj`.
        stats: The text of `stat` of each of its threads.
    """
    flags = [flags_of(text) for text in stats]
    locked, resident = (kilobytes_of(status, name) for name in ("VmLck", "VmRSS"))
    return Process(
        pid=pid,
        descriptors_max=hard_limit_of(limits, "Max open files"),
        is_locked=locked * _PARTS >= resident * _PARTS_LOCKED_MIN > 0,
        locked_bytes=locked,
        oom_score_adj=int(oom_score_adj) if re.fullmatch(r"-?\d+\s*", oom_score_adj) else 0,
        is_io_flusher=bool(flags) and all(each & IO_FLUSHER == IO_FLUSHER for each in flags),
        capabilities=capabilities_of(status),
    )


def hard_limit_of(text: str, name: str) -> int | None:
    """Return the hard limit of a line in /proc/PID/limits; None: no limit, 0: there is no such line.

    A daemon raises its soft limits to the hard ones.
    """
    match = re.search(rf"^{name} +(?:\d+|unlimited) +(\d+|unlimited)", text, re.MULTILINE)
    if match is None:
        return 0
    return None if match[1] == "unlimited" else int(match[1])


def kilobytes_of(text: str, name: str) -> int:
    """Return the bytes of a line in /proc/PID/status; 0: there is no such line."""
    match = re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def capabilities_of(text: str) -> int:
    """Return the effective capabilities in /proc/PID/status."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", text, re.MULTILINE)
    return int(match[1], 16) if match else 0


def flags_of(text: str) -> int:
    """Return the kernel's flags of a thread; 0: the text is no /proc/PID/stat."""
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _FLAGS_FIELD or not fields[_FLAGS_FIELD].isdigit():
        return 0
    return int(fields[_FLAGS_FIELD])


def stalled_percent_of(text: str) -> float | None:
    """Return in how much of the last five minutes all tasks waited, by a file of /proc/pressure."""
    match = re.search(r"^full .*\bavg300=([\d.]+)", text, re.MULTILINE)
    return float(match[1]) if match else None
