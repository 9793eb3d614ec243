"""Is there memory for the daemon: limits, reserve, what the kernel keeps free, and what others may have."""

from dataclasses import replace

import pytest

from config.memory import MemoryBound
from config.model import MemoryConfig
from ramsterd.doctor.facts import Facts, Groups, Level, Neighbour
from ramsterd.doctor.figures import min_free_bytes, needed_bytes, others_bytes_max
from ramsterd.doctor.findings import Finding, State
from ramsterd.doctor.memory_checks import (
    check_groups,
    check_limit,
    check_min_free,
    check_reserve,
    check_watermark_boost,
)
from tests.helpers.doctor_facts import (
    BEFORE,
    FACTS,
    GIB,
    GROUPS,
    HOST_OF_GUESTS,
    KERNEL,
    MIB,
    NEIGHBOURS,
    RUNNING,
    SERVICE,
    SLICE,
    daemon_config,
    found,
    neighbour,
)

# 512 MiB of budget, tables for the pages of the export and of peers, and the process.
NEEDED = "610.2 MiB"
NEEDED_MIB = "611M"


def test_needed_is_budget_tables_and_process() -> None:
    assert 610 * MIB < needed_bytes(FACTS) < 611 * MIB
    larger = replace(FACTS, running=replace(RUNNING, budget_bytes=600 * MIB))
    assert needed_bytes(larger) - needed_bytes(FACTS) == 88 * MIB, "`memory set` counts"
    assert needed_bytes(BEFORE) == needed_bytes(FACTS)


@pytest.mark.parametrize(
    ("limit", "is_fatal", "state"),
    [
        (620 * MIB, True, State.OK),
        (560 * MIB, True, State.WARNING),
        (512 * MIB, True, State.ERROR),
        (512 * MIB, False, State.WARNING),
    ],
)
def test_a_limit_below_budget_tables_and_process_is_told(
    limit: int, is_fatal: bool, state: State
) -> None:
    bound = MemoryBound(limit_bytes=limit, name="memory.max of cgroup /a", is_fatal=is_fatal)
    finding = check_limit(replace(FACTS, groups=replace(GROUPS, bounds=(*GROUPS.bounds, bound))))
    assert finding.state is state
    if state is not State.OK:
        assert "memory.max of cgroup /a" in finding.expected
        assert "lower memory.budget in /etc/ramster/ramsterd.toml" in finding.fix


NOT_FOR_SWAP = daemon_config(swap=False)
SMALL_RESERVE = daemon_config(memory=MemoryConfig(budget=512 * MIB, reserve=MIB))
WITHOUT = replace(RUNNING, reserve_bytes=0, ready_bytes=0)


@pytest.mark.parametrize(
    ("facts", "state", "words", "fix"),
    [
        (FACTS, State.OK, "32 MiB of 32 MiB are ready for a burst", ""),
        (BEFORE, State.OK, "32 MiB of the budget will be kept ready for a burst", ""),
        (
            replace(FACTS, running=replace(RUNNING, ready_bytes=15 * MIB)),
            State.WARNING,
            "15 MiB of 32 MiB ready",
            "again in a minute",
        ),
        (
            replace(FACTS, running=replace(RUNNING, ready_bytes=0, is_reserve_short=True)),
            State.WARNING,
            "0 B of 32 MiB ready, for the kernel has no more memory",
            "again in a minute",
        ),
        (
            replace(FACTS, daemon=NOT_FOR_SWAP, running=WITHOUT),
            State.ERROR,
            "a reserve of 0 B",
            "set swap = true in the [[export]]",
        ),
        (
            replace(HOST_OF_GUESTS, daemon=NOT_FOR_SWAP, running=WITHOUT),
            State.WARNING,
            "a reserve of 0 B",
            "set swap = true in the [[export]]",
        ),
        (
            replace(FACTS, running=WITHOUT),
            State.ERROR,
            "a reserve of 0 B",
            "systemctl restart ramsterd.service",
        ),
        (
            replace(BEFORE, daemon=SMALL_RESERVE),
            State.WARNING,
            "a reserve of 1 MiB",
            "set reserve = 0 (the default)",
        ),
    ],
    ids=["ready", "before", "used", "short", "no swap", "guests", "not yet", "small"],
)
def test_a_reserve_is_there_before_a_burst(
    facts: Facts, state: State, words: str, fix: str
) -> None:
    finding = check_reserve(facts)
    assert (finding.state, finding.found) == (state, words)
    assert fix in finding.fix


def test_a_small_budget_has_a_small_reserve() -> None:
    small = daemon_config(memory=MemoryConfig(budget=64 * MIB))
    finding = check_reserve(replace(BEFORE, daemon=small))
    assert (finding.state, finding.found[:5]) == (State.OK, "8 MiB")


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (256 * MIB, 32 * MIB),
        (512 * MIB, 64 * MIB),
        (8 * GIB, 64 * MIB),
        (32 * GIB, 128 * MIB),
        (1024 * GIB, 256 * MIB),
    ],
)
def test_what_the_kernel_keeps_free_follows_its_memory(memory: int, expected: int) -> None:
    assert min_free_bytes(memory) == expected


def test_too_little_free_memory_is_told_with_the_line_that_stays() -> None:
    assert check_min_free(FACTS).state is State.OK
    finding = check_min_free(replace(FACTS, kernel=replace(KERNEL, min_free_bytes=16 * MIB)))
    assert finding.found == "vm.min_free_kbytes 16384"
    assert finding.expected == "at least 65536 (64 MiB)"
    assert finding.fix == (
        r"printf 'vm.min_free_kbytes = 65536\nvm.watermark_boost_factor = 0\n'"
        " >/etc/sysctl.d/60-ramster.conf && sysctl -p /etc/sysctl.d/60-ramster.conf"
    )


def test_marks_that_the_kernel_may_raise_are_told_with_the_same_line() -> None:
    """It writes one file, and lowers nothing."""
    assert check_watermark_boost(FACTS).state is State.OK
    finding = check_watermark_boost(replace(FACTS, kernel=replace(KERNEL, watermark_boost=15000)))
    assert finding.state is State.ERROR
    assert finding.found == "vm.watermark_boost_factor 15000"
    assert r"vm.min_free_kbytes = 131072\nvm.watermark_boost_factor = 0\n" in finding.fix


def groups_found(check: str, **changes: object) -> Finding:
    # mypy can't know which field has which type.
    groups: Groups = replace(GROUPS, **changes)  # type: ignore[arg-type]
    return found(check_groups(replace(FACTS, groups=groups)), check)


@pytest.mark.parametrize(
    ("version", "words"), [(1, "cgroups of version 1"), (0, "no cgroups that account memory")]
)
def test_only_version_2_protects(version: int, words: str) -> None:
    facts = replace(FACTS, groups=replace(GROUPS, version=version))
    (finding,) = check_groups(facts)
    assert (finding.check, finding.found) == ("memory-min", words)
    assert "systemd.unified_cgroup_hierarchy=1" in finding.fix


BARE_SERVICE = replace(SERVICE, protected_bytes=0)
BARE_SLICE = replace(SLICE, protected_bytes=MIB)
OTHER = Level(name="/pods/a", folder="/sys/fs/cgroup/pods/a", protected_bytes=0, swap_bytes_max=0)


@pytest.mark.parametrize(
    ("levels", "words", "fix"),
    [
        (
            (BARE_SERVICE, SLICE),
            "memory.min 0 B of cgroup /ramster.slice/ramsterd.service",
            f"systemctl set-property ramsterd.service MemoryMin={NEEDED_MIB}",
        ),
        (
            (SERVICE, BARE_SLICE),
            "memory.min 1 MiB of cgroup /ramster.slice",
            f"systemctl set-property ramster.slice MemoryMin={NEEDED_MIB}",
        ),
        (
            (BARE_SERVICE, BARE_SLICE),
            "memory.min 0 B of cgroup /ramster.slice/ramsterd.service",
            f"MemoryMin={NEEDED_MIB} && systemctl set-property ramsterd.service MemoryMin={NEEDED_MIB}",
        ),
        (
            (OTHER,),
            "memory.min 0 B of cgroup /pods/a",
            f"echo {NEEDED_MIB} >/sys/fs/cgroup/pods/a/memory.min",
        ),
        ((), "no cgroup of its own", "cp systemd/ramster.slice"),
    ],
    ids=["service", "slice", "both", "without systemd", "root"],
)
def test_protection_counts_only_where_each_cgroup_above_has_it(
    levels: tuple[Level, ...], words: str, fix: str
) -> None:
    finding = groups_found("memory-min", levels=levels)
    assert (finding.state, finding.found) == (State.ERROR, words)
    assert finding.expected.startswith(f"{NEEDED} (budget, tables and process)")
    assert fix in finding.fix


def test_kept_pages_are_out_of_swap_only_by_what_outlives_the_process() -> None:
    assert groups_found("swap-max").state is State.OK
    only_service = groups_found("swap-max", levels=(SERVICE, replace(SLICE, swap_bytes_max=None)))
    assert only_service.state is State.WARNING
    assert only_service.found == "memory.swap.max 0 of the service alone"
    assert only_service.fix == "systemctl set-property ramster.slice MemorySwapMax=0"
    bare = tuple(replace(level, swap_bytes_max=None) for level in (SERVICE, SLICE))
    assert groups_found("swap-max", levels=bare).found == "no memory.swap.max"


SHARED = (
    replace(SERVICE, name="/system.slice/ramsterd.service"),
    replace(SLICE, name="/system.slice", swap_bytes_max=None),
)
IN_SHARED = (neighbour("/system.slice/sshd.service", MIB), *NEIGHBOURS[::2])


def test_everything_else_is_bounded() -> None:
    finding = groups_found("others-bounded")
    assert finding.state is State.OK
    assert "6 GiB together" in finding.found


def test_limits_that_somebody_set_are_for_an_operator_to_change() -> None:
    """Together they are too much, or leave too little for one that has none."""
    for neighbours in (
        (neighbour("/system.slice", GIB, 8 * GIB),),
        (neighbour("/system.slice", GIB, 7 * GIB + 900 * MIB), neighbour("/user.slice", 0)),
    ):
        finding = groups_found("others-bounded", neighbours=neighbours)
        assert "systemctl set-property system.slice MemoryMax=" in finding.fix
        assert not finding.applies_now


@pytest.mark.parametrize(("used", "applies_now"), [(GIB, True), (8 * GIB, False)])
def test_a_limit_below_what_is_used_is_for_an_operator_to_set(
    used: int, *, applies_now: bool
) -> None:
    """Without swap, a cgroup that gets one loses processes."""
    finding = groups_found("others-bounded", neighbours=(neighbour("/system.slice", used),))
    assert finding.applies_now == applies_now
    assert "MemoryMax=" in finding.fix


@pytest.mark.parametrize(
    ("neighbours", "words", "fix"),
    [
        (
            (*NEIGHBOURS, neighbour("/machine.slice", 0)),
            "no limit for /machine.slice",
            "systemctl set-property machine.slice MemoryMax=1121M",
        ),
        (
            (neighbour("/system.slice", GIB), neighbour("/user.slice", 0)),
            "no limit for /system.slice, /user.slice",
            "systemctl set-property system.slice MemoryMax=",
        ),
        (
            (neighbour("/system.slice", GIB, 8 * GIB),),
            "8 GiB together",
            "systemctl set-property system.slice MemoryMax=7277M",
        ),
        (
            (*NEIGHBOURS, neighbour("/pods", 65 * MIB)),
            "no limit for /pods",
            ">/sys/fs/cgroup/pods/memory.max",
        ),
    ],
    ids=["one", "two", "too much", "no unit"],
)
def test_what_may_fill_the_machine_beside_the_daemon_is_told_with_its_limit(
    neighbours: tuple[Neighbour, ...], words: str, fix: str
) -> None:
    finding = groups_found("others-bounded", neighbours=neighbours)
    assert (finding.state, finding.found) == (State.ERROR, words)
    assert fix in finding.fix


def test_limits_that_are_proposed_leave_enough_for_the_daemon() -> None:
    neighbours = (neighbour("/system.slice", GIB), neighbour("/user.slice", 0))
    fix = groups_found("others-bounded", neighbours=neighbours).fix
    limits = [int(part.rpartition("=")[2][:-1]) * MIB for part in fix.split(" && ")]
    assert limits[0] > limits[1] > GIB
    assert others_bytes_max(FACTS) - 2 * MIB < sum(limits) <= others_bytes_max(FACTS)


def test_where_nothing_is_left_the_budget_is_too_large() -> None:
    facts = replace(FACTS, kernel=replace(KERNEL, memory_bytes=640 * MIB))
    finding = found(check_groups(facts), "others-bounded")
    assert finding.fix.startswith("lower memory.budget")


@pytest.mark.parametrize(
    ("levels", "neighbours"),
    [(SHARED, IN_SHARED), ((), NEIGHBOURS)],
    ids=["a slice with others", "the root"],
)
def test_a_daemon_among_others_gets_a_slice_of_its_own(
    levels: tuple[Level, ...], neighbours: tuple[Neighbour, ...]
) -> None:
    for check in ("others-bounded", "swap-max"):
        finding = groups_found(check, levels=levels, neighbours=neighbours)
        assert finding.state is not State.OK
        assert "ramster.slice" in finding.fix


def test_helpers_in_the_slice_are_no_others() -> None:
    helper = neighbour("/ramster.slice/ramster-nbd@nbd0.service", 36 * MIB)
    assert groups_found("others-bounded", neighbours=(*NEIGHBOURS, helper)).state is State.OK


def test_a_container_does_not_see_what_is_beside_it() -> None:
    finding = groups_found("others-bounded", sees_all=False, neighbours=())
    assert finding.state is State.WARNING
    assert finding.fix == "ramsterctl doctor --swap, on the host"
