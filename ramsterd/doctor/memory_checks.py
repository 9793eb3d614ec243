"""Is there memory for the daemon when it is needed: limits, reserve, and what others must leave.  Pure."""

from collections.abc import Iterator
from typing import Final

from config.limits import BUDGET_PER_RESERVE, BUDGET_PER_RESERVE_MAX, RESERVE_BYTES_DEFAULT_MIN
from config.machine import judge_memory
from config.units import UNIT_BYTES, human_bytes
from ramsterd.doctor import figures, fixes
from ramsterd.doctor.facts import Facts, Groups, Level, Neighbour, unit_of
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.process_checks import severity
from ramsterd.health.wording import ask_doctor

# Less is no limit that anything could live with.
_SLICE_BYTES_MIN: Final = 32 * UNIT_BYTES["MiB"]
# Less of the reserve than a half is no burst that is just over.
_READY_PARTS: Final = 2
_BURST: Final = "a burst of swap-out waits for the kernel or for another node"
_HANGS: Final = "this machine can hang when its memory is full"
_UNIFIED: Final = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"


def check_limit(facts: Facts) -> Finding:
    """Judge budget, tables and process against the machine and the cgroups of the daemon."""
    needed = human_bytes(figures.needed_bytes(facts))
    for finding in judge_memory(facts.daemon, facts.groups.bounds, facts.file):
        return Finding(
            check="memory-limit",
            state=State.ERROR if finding.is_error else State.WARNING,
            risk="the memory of ramsterd has a limit that its pages can reach",
            found=finding.found,
            expected=finding.expected,
            fix=f"lower {finding.key} in {facts.file}, or raise that limit; then: {fixes.restart(facts)}",
        )
    return ok("memory-limit", f"there is room for {needed} of budget, tables and process")


def check_reserve(facts: Facts) -> Finding:
    """Judge how much free memory of the budget is there before pages need it."""
    memory, running = facts.daemon.memory, facts.running
    configured = facts.daemon.reserve_bytes
    reserve = configured if running is None else running.reserve_bytes
    wanted = _recommended_reserve(int(memory.budget))
    shown = human_bytes(reserve)
    if reserve < wanted:
        return Finding(
            check="reserve",
            state=severity(facts) if reserve == 0 else State.WARNING,
            risk=_BURST,
            found=f"a reserve of {shown}",
            expected=f"at least {human_bytes(wanted)} of the budget",
            fix=_raise_reserve(facts, is_enough=configured >= wanted),
        )
    if running is None:
        return ok("reserve", f"{shown} of the budget will be kept ready for a burst")
    ready = human_bytes(running.ready_bytes)
    if running.ready_bytes * _READY_PARTS >= reserve:
        return ok("reserve", f"{ready} of {shown} are ready for a burst")
    again = ask_doctor(facts.file, "--swap")
    short = ", for the kernel has no more memory" if running.is_reserve_short else ""
    return Finding(
        check="reserve",
        state=State.WARNING,
        risk=_BURST,
        found=f"{ready} of {shown} ready{short}",
        expected="all of it, unless a burst has just used it",
        fix=f"{again}, again in a minute; if it stays so, ramsterctl nodes: which have room",
    )


def _raise_reserve(facts: Facts, *, is_enough: bool) -> str:
    """Return how to get the reserve that is the default of a node for swap; `is_enough`: the file has it."""
    if is_enough:
        return fixes.restart(facts)
    if facts.daemon.memory.reserve:
        change = f"set reserve = 0 (the default) in [memory] of {facts.file}"
    else:
        change = f"set swap = true in the [[export]] that is for swap in {facts.file}"
    return f"{change}, then: {fixes.restart(facts)}"


def _recommended_reserve(budget: int) -> int:
    """Return the reserve that is the default of a node that serves swap."""
    wanted = max(RESERVE_BYTES_DEFAULT_MIN, budget // BUDGET_PER_RESERVE)
    return min(wanted, budget // BUDGET_PER_RESERVE_MAX)


def check_min_free(facts: Facts) -> Finding:
    """Judge what the kernel keeps free for those who can't wait, sockets among them."""
    found, wanted = facts.kernel.min_free_bytes, figures.min_free_bytes(facts.kernel.memory_bytes)
    if found >= wanted:
        return ok("min-free", f"vm.min_free_kbytes is {found // 1024} ({human_bytes(found)})")
    return Finding(
        check="min-free",
        state=State.ERROR,
        risk="sockets of ramsterd find no memory while the kernel frees it by swapping out",
        found=f"vm.min_free_kbytes {found // 1024}",
        expected=f"at least {wanted // 1024} ({human_bytes(wanted)})",
        fix=_keep_free(facts),
        applies_now=True,
    )


def check_watermark_boost(facts: Facts) -> Finding:
    """Judge whether the kernel may raise the mark below which everybody who asks for memory must free some.

    By itself it does so by half of the next mark whenever free memory is in pieces (mm/page_alloc.c, boost_watermark), and
    kswapd takes it back once it has freed as much.  While it swaps out, ramsterd is what it waits for.
    """
    if not facts.kernel.watermark_boost:
        return ok("watermark-boost", "vm.watermark_boost_factor is 0")
    return Finding(
        check="watermark-boost",
        state=State.ERROR,
        risk=_HANGS,
        found=f"vm.watermark_boost_factor {facts.kernel.watermark_boost}",
        expected="0: free memory in pieces must not make ramsterd wait until pages are swapped out",
        fix=_keep_free(facts),
        applies_now=True,
    )


def _keep_free(facts: Facts) -> str:
    """Return how to set all that decides when somebody who asks for memory must free some; it is one file."""
    kernel = facts.kernel
    wanted = max(kernel.min_free_bytes, figures.min_free_bytes(kernel.memory_bytes))
    return fixes.set_sysctls(min_free_kbytes=wanted // 1024, watermark_boost_factor=0)


def check_groups(facts: Facts) -> Iterator[Finding]:
    """Judge protection and neighbours of the daemon's cgroup; version 1 has no protection."""
    groups = facts.groups
    if groups.version != 2:  # noqa: PLR2004  the version that can protect
        yield Finding(
            check="memory-min",
            state=State.ERROR,
            risk="the kernel may take memory from ramsterd before it takes any from others",
            found="cgroups of version 1"
            if groups.version == 1
            else "no cgroups that account memory",
            expected="cgroups of version 2, which have memory.min",
            fix=_UNIFIED,
        )
        return
    yield _check_min(facts)
    yield _check_swap_max(facts)
    yield _check_others(facts)


def _check_min(facts: Facts) -> Finding:
    """What a cgroup is protected for is at most what each one above it is."""
    needed = figures.needed_bytes(facts)
    levels = facts.groups.levels
    lacking = [level for level in levels if level.protected_bytes < needed]
    if levels and not lacking:
        return ok("memory-min", f"memory.min protects {human_bytes(needed)} of ramsterd")
    lowest = min(lacking, key=lambda level: level.protected_bytes, default=None)
    found = (
        "no cgroup of its own"
        if lowest is None
        else f"memory.min {human_bytes(lowest.protected_bytes)} of cgroup {lowest.name}"
    )
    set_min = " && ".join(
        fixes.set_in_group(level, "MemoryMin", "memory.min", needed) for level in reversed(lacking)
    )
    return Finding(
        check="memory-min",
        state=State.ERROR,
        risk="the kernel may take memory from ramsterd before it takes any from others",
        found=found,
        expected=f"{human_bytes(needed)} (budget, tables and process) there and in each cgroup above",
        fix=set_min or fixes.own_slice(facts),
        applies_now=bool(set_min),
    )


def _check_swap_max(facts: Facts) -> Finding:
    """Kept memory is locked by a process; between two of them only a limit keeps it out of swap."""
    levels = facts.groups.levels
    slices = [level for level in levels if level.is_slice]
    if any(level.swap_bytes_max == 0 for level in slices):
        return ok("swap-max", "kept pages are never swapped out (memory.swap.max 0)")
    service = any(level.swap_bytes_max == 0 for level in levels)
    can_be_set = bool(slices) and not _is_shared(facts.groups, slices[0])
    return Finding(
        check="swap-max",
        state=State.WARNING,
        risk="while ramsterd starts again, the kernel may swap kept pages out to the export that is down",
        found="memory.swap.max 0 of the service alone" if service else "no memory.swap.max",
        expected="0 for a slice of ramsterd, which outlives the process",
        fix=fixes.set_in_group(slices[0], "MemorySwapMax", "memory.swap.max", 0)
        if can_be_set
        else fixes.own_slice(facts),
        applies_now=can_be_set,
    )


def _check_others(facts: Facts) -> Finding:
    """Reclaim inside a cgroup with a limit never stops the daemon; reclaim of the machine does."""
    groups, left = facts.groups, figures.others_bytes_max(facts)
    unbounded = [each for each in groups.neighbours if figures.is_unbounded(each)]
    together = sum(figures.bytes_of(each) for each in groups.neighbours)
    shared = [level for level in groups.levels if _is_shared(groups, level)]
    applies_now = False
    expected = f"limits of {human_bytes(left)} together: ramsterd and the kernel need the rest"
    if not groups.sees_all:
        return Finding(
            check="others-bounded",
            state=State.WARNING,
            risk=_HANGS,
            found="a container, from which other cgroups can't be seen",
            expected=expected,
            fix=f"{ask_doctor(facts.file, '--swap')}, on the host",
        )
    if groups.levels and not unbounded and together <= left:
        return ok("others-bounded", f"all other cgroups may use {human_bytes(together)} together")
    if shared or not groups.levels:
        where = shared[-1].name if shared else "/"
        found = f"ramsterd in cgroup {where}, which can't be bounded without it"
        expected = "a slice of its own beside the slices of everything else"
        fix = fixes.own_slice(facts)
    else:
        names = ", ".join(each.name for each in unbounded)
        found = f"no limit for {names}" if unbounded else f"{human_bytes(together)} together"
        fix, applies_now = _bound(facts, unbounded, left)
    return Finding(
        check="others-bounded",
        state=State.ERROR,
        risk=_HANGS,
        found=found,
        expected=expected,
        fix=fix,
        applies_now=applies_now,
    )


def _is_shared(groups: Groups, level: Level) -> bool:
    """Whether others than ramster's own are inside one of our cgroups."""
    return any(
        each.name.startswith(f"{level.name}/") and not figures.is_ramsters(each)
        for each in groups.neighbours
    )


def _bound(facts: Facts, unbounded: list[Neighbour], left: int) -> tuple[str, bool]:
    """Return how to set limits that leave enough, of those without one, or of all; and whether that may be done unasked.

    Not in place of limits that somebody set; and at a limit below what it uses a cgroup without swap loses processes.
    """
    changes_none = True
    them = facts.groups.neighbours
    rest = left - sum(figures.bytes_of(each) for each in them if each not in unbounded)
    if rest < _SLICE_BYTES_MIN * len(unbounded) or not unbounded:
        unbounded, rest = [each for each in them if unit_of(each.name).endswith(".slice")], left
        changes_none = all(each.bytes_max is None for each in unbounded)
    if rest < _SLICE_BYTES_MIN * len(unbounded) or not unbounded:
        return f"lower memory.budget in {facts.file}, then: {fixes.restart(facts)}", False
    limits = figures.proposed_limits(unbounded, rest)
    lines = [fixes.set_in_group(each, "MemoryMax", "memory.max", limit) for each, limit in limits]
    fits = all(each.used_bytes <= limit for each, limit in limits)
    return " && ".join(lines), changes_none and fits
