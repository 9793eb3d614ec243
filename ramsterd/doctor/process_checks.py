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
from ramsterd.host.protection import OOM_SCORE_MIN

_MAY_WAIT: Final = (
    "this machine can hang, because ramsterd may wait for memory that only ramsterd can free"
)
_SLOW: Final = "swap becomes slow when the kernel moves memory of ramsterd to a disk"
_KILLED: Final = "the OOM killer may end ramsterd, and with it everything that is swapped out"


def severity(facts: Facts) -> State:
    """Return what a missing precaution is: this machine can hang, or swap of guests becomes slow."""
    return State.ERROR if facts.is_own_host else State.WARNING


def check_protection(facts: Facts) -> Iterator[Finding]:
    """Judge memory lock, OOM score and IO_FLUSHER of the daemon."""
    yield _check_lock(facts)
    yield _check_oom_score(facts)
    if facts.is_own_host:
        yield _check_flusher(facts)


def _check_lock(facts: Facts) -> Finding:
    running, limit = facts.running, facts.start.lock_limit_bytes
    place = facts.start.unit or "this shell"
    if running is not None and running.process.is_locked:
        size = human_bytes(running.process.locked_bytes)
        return ok("memory-lock", f"all memory of ramsterd is locked ({size} of mappings)")
    if facts.daemon.memory.lock is LockMemory.NO:
        fix = f'set lock = "auto" in [memory] of {facts.file}, then: {fixes.restart(facts)}'
        return _unlocked(facts, 'lock = "no" in [memory]', fix)
    if running is not None:
        found = f"{human_bytes(running.process.locked_bytes)} locked"
    elif limit is not None:
        found = f"a limit of {human_bytes(limit)} for locked memory in {place}"
    else:
        return ok("memory-lock", f"{place} lets ramsterd lock its memory")
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
    """A daemon that serves swap leaves the list of the OOM killer by itself, where it may."""
    running, start = facts.running, facts.start
    score = start.oom_score_adj if running is None else running.process.oom_score_adj
    if score == OOM_SCORE_MIN:
        return ok("oom-score", f"{score}: the OOM killer spares ramsterd")
    if running is None and start.has_resource_right and facts.daemon.serves_swap:
        return ok("oom-score", f"{start.unit or 'this shell'} lets ramsterd set {OOM_SCORE_MIN}")
    if facts.unit:
        fix = fixes.in_unit(facts, "oom", f"OOMScoreAdjust={OOM_SCORE_MIN}")
    elif running is not None and running.process.is_seen:
        fix = f"choom -n {OOM_SCORE_MIN} -p {running.process.pid}"
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
    """A daemon asks for it if an export says swap = true."""
    running, start = facts.running, facts.start
    if running is not None and running.process.is_io_flusher:
        return ok("io-flusher", "no allocation of ramsterd waits for swap (PR_SET_IO_FLUSHER)")
    if running is None and start.has_resource_right:
        return ok("io-flusher", f"{start.unit or 'this shell'} lets ramsterd set PR_SET_IO_FLUSHER")
    if running is not None and not facts.daemon.serves_swap:
        fix = f"set swap = true in the [[export]] that is for swap in {facts.file}, then: {fixes.restart(facts)}"
    elif facts.unit:
        fix = fixes.in_unit(facts, "flusher", "AmbientCapabilities=CAP_SYS_RESOURCE")
    else:
        fix = fixes.start_by_hand(facts)
    return Finding(
        check="io-flusher",
        state=State.ERROR,
        risk=_MAY_WAIT,
        found="no CAP_SYS_RESOURCE" if running is None else "threads of ramsterd without it",
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
    if not process.is_locked:
        found.append("locked memory")
    if not process.is_io_flusher:
        found.append("PR_SET_IO_FLUSHER")
    if process.oom_score_adj != OOM_SCORE_MIN:
        found.append(f"oom_score_adj {OOM_SCORE_MIN} (it has {process.oom_score_adj})")
    return found
