"""Is the daemon kept in memory and alive while memory is short: locked, spared, and no flusher of its own.  Pure.

What a running process has counts; before a start, what its unit or this shell would give it.
"""

from collections.abc import Iterator
from typing import Final

from config.model import LockMemory
from config.units import human_bytes
from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Device, Facts, Process
from ramsterd.doctor.findings import Finding, State, ok

OOM_SCORE_MIN: Final = -1000
# mlockall(2) locks all but a few pages of the kernel's own.
_LOCKED_PARTS: Final = 10
_LOCKED_PARTS_MIN: Final = 9

_MAY_WAIT: Final = (
    "this machine can hang, because ramsterd may wait for memory that only ramsterd can free"
)
_SLOW: Final = "swap becomes slow when the kernel moves memory of ramsterd to a disk"
_KILLED: Final = "the OOM killer may end ramsterd, and with it everything that is swapped out"


def severity(facts: Facts) -> State:
    """Return what a missing precaution is: this machine can hang, or swap of guests becomes slow."""
    return State.ERROR if facts.is_own_host else State.WARNING


def is_locked(process: Process) -> bool:
    """Whether a process has locked its memory: with MCL_ONFAULT also what it has not touched yet."""
    return process.locked_bytes * _LOCKED_PARTS >= process.resident_bytes * _LOCKED_PARTS_MIN > 0


def check_protection(facts: Facts) -> Iterator[Finding]:
    """Judge memory lock, OOM score and IO_FLUSHER of the daemon."""
    if facts.running is not None and facts.running.process is None:
        yield Finding(
            check="memory-lock",
            state=State.WARNING,
            risk="nobody knows whether ramsterd is protected",
            found="a daemon whose process can't be seen from here",
            expected="one in /proc",
            fix="ramsterctl doctor --swap, where ramsterd runs (in the same container)",
        )
        return
    yield _check_lock(facts)
    yield _check_oom_score(facts)
    if facts.is_own_host:
        yield _check_flusher(facts)


def _check_lock(facts: Facts) -> Finding:
    process, start = _process(facts), facts.start
    place = start.unit or "this shell"
    if process is not None and is_locked(process):
        return ok(
            "memory-lock", f"all memory of ramsterd is locked ({_resident(process)} are in use)"
        )
    if facts.daemon.memory.lock is LockMemory.NO:
        fix = f'set lock = "auto" in [memory] of {facts.file}, then: {fixes.restart(facts)}'
        return _unlocked(facts, 'lock = "no" in [memory]', fix)
    if process is None and start.may_lock_memory:
        return ok("memory-lock", f"{place} lets ramsterd lock its memory")
    if process is None:
        limit = human_bytes(start.memlock_bytes_max or 0)
        found = f"a limit of {limit} for locked memory in {place}"
    else:
        found = f"{human_bytes(process.locked_bytes)} locked of {_resident(process)}"
    if facts.unit:
        settings = ("LimitMEMLOCK=infinity", "AmbientCapabilities=CAP_IPC_LOCK")
        return _unlocked(facts, found, fixes.in_unit(facts, "memlock", *settings))
    return _unlocked(facts, found, fixes.start_by_hand(facts, "ulimit -l unlimited && "))


def _unlocked(facts: Facts, found: str, fix: str) -> Finding:
    return Finding(
        check="memory-lock",
        state=severity(facts),
        risk=_MAY_WAIT if facts.is_own_host else _SLOW,
        found=found,
        expected="all memory of ramsterd to be locked (mlockall)",
        fix=fix,
    )


def _check_oom_score(facts: Facts) -> Finding:
    process = _process(facts)
    score = facts.start.oom_score_adj if process is None else process.oom_score_adj
    if score == OOM_SCORE_MIN:
        return ok("oom-score", f"{score}: the OOM killer spares ramsterd")
    if facts.unit:
        fix = fixes.in_unit(facts, "oom", f"OOMScoreAdjust={OOM_SCORE_MIN}")
    elif process is not None:
        fix = f"choom -n {OOM_SCORE_MIN} -p {process.pid}"
    else:
        fix = fixes.start_by_hand(facts, f"choom -n {OOM_SCORE_MIN} -- ")
    return Finding(
        check="oom-score",
        state=severity(facts),
        risk=_KILLED,
        found=f"oom_score_adj {score}",
        expected=str(OOM_SCORE_MIN),
        fix=fix,
    )


def _check_flusher(facts: Facts) -> Finding:
    process, start = _process(facts), facts.start
    if process is not None and process.is_io_flusher:
        return ok("io-flusher", "no allocation of ramsterd waits for swap (PR_SET_IO_FLUSHER)")
    if process is None and start.may_flush_io:
        return ok("io-flusher", f"{start.unit or 'this shell'} lets ramsterd set PR_SET_IO_FLUSHER")
    if facts.unit:
        fix = fixes.in_unit(facts, "flusher", "AmbientCapabilities=CAP_SYS_RESOURCE")
    else:
        fix = fixes.start_by_hand(facts)
    return Finding(
        check="io-flusher",
        state=State.ERROR,
        risk=_MAY_WAIT,
        found="no CAP_SYS_RESOURCE" if process is None else "threads of ramsterd without it",
        expected="PR_SET_IO_FLUSHER on each thread of ramsterd (CAP_SYS_RESOURCE, Linux 5.6 or later)",
        fix=fix,
    )


def check_helper(device: Device) -> Iterator[Finding]:
    """Judge who keeps a device attached: it is the way of every page to the daemon."""
    helper, name = device.helper, device.name
    unit = f"ramster-nbd@{name}"
    if helper is None:
        yield Finding(
            check="helper",
            state=State.ERROR,
            risk=f"nobody connects {name} again when its connection ends, and its requests fail then",
            found="no attach helper",
            expected="one that runs",
            fix=f"systemctl start {unit}",
        )
        return
    missing = missing_protections(helper)
    if not missing:
        yield ok("helper", f"{name}: process {helper.pid} keeps it attached, and is protected")
        return
    yield Finding(
        check="helper",
        state=State.ERROR,
        risk=f"the attach helper of {name} may wait for memory that only {name} can free",
        found=f"process {helper.pid} without {', '.join(missing)}",
        expected="a helper that its unit protects",
        fix=f"{fixes.install_unit('ramster-nbd@.service')} && systemctl restart {unit}",
    )


def missing_protections(process: Process) -> list[str]:
    """Return what a process that swap goes through lacks, in words."""
    found = []
    if not is_locked(process):
        found.append("locked memory")
    if not process.is_io_flusher:
        found.append("PR_SET_IO_FLUSHER")
    if process.oom_score_adj != OOM_SCORE_MIN:
        found.append(f"oom_score_adj {OOM_SCORE_MIN} (it has {process.oom_score_adj})")
    return found


def _process(facts: Facts) -> Process | None:
    return None if facts.running is None else facts.running.process


def _resident(process: Process) -> str:
    return human_bytes(process.resident_bytes)
