"""Is the daemon protected: running, or by what a start would give it."""

from dataclasses import replace

import pytest

from config.model import LockMemory, MemoryConfig
from ramsterd.doctor.facts import Facts, Process
from ramsterd.doctor.findings import State
from ramsterd.doctor.process_checks import check_helper, check_protection
from tests.helpers.doctor_facts import (
    BARE_PROCESS,
    BARE_START,
    BEFORE,
    DEVICE,
    FACTS,
    HOST_OF_GUESTS,
    MIB,
    RUNNING,
    START,
    daemon_config,
    found,
)

BARE = replace(FACTS, running=replace(RUNNING, process=BARE_PROCESS))
BY_HAND = replace(BARE, groups=replace(FACTS.groups, levels=()))
IN_UNIT = (
    r"printf '[Service]\nLimitMEMLOCK=infinity\nAmbientCapabilities=CAP_IPC_LOCK\n'"
    " >/etc/systemd/system/ramsterd.service.d/memlock.conf && systemctl daemon-reload"
    " && systemctl restart ramsterd.service"
)
BARE_BEFORE = replace(BEFORE, start=BARE_START)


@pytest.mark.parametrize(
    ("facts", "words", "fix"),
    [
        (
            BARE,
            "0 B locked",
            IN_UNIT,
        ),
        (
            BY_HAND,
            "0 B locked",
            "ramsterctl stop; ulimit -l unlimited && ramsterd run --config /etc/ramster/ramsterd.toml",
        ),
        (
            BARE_BEFORE,
            "a limit of 8 MiB for locked memory in this shell",
            "ulimit -l unlimited && ramsterd run --config /etc/ramster/ramsterd.toml",
        ),
        (
            replace(BEFORE, start=replace(START, lock_limit_bytes=MIB)),
            "a limit of 1 MiB for locked memory in ramsterd.service",
            "systemctl start ramsterd.service",
        ),
        (
            replace(
                BARE,
                daemon=daemon_config(memory=MemoryConfig(budget=512 * MIB, lock=LockMemory.NO)),
            ),
            'lock = "no" in [memory]',
            'set lock = "auto" in [memory] of /etc/ramster/ramsterd.toml, then: systemctl restart ramsterd.service',
        ),
    ],
    ids=["unit", "by hand", "before, shell", "before, unit", "switched off"],
)
def test_memory_that_is_not_locked_is_told_with_the_line_for_it(
    facts: Facts, words: str, fix: str
) -> None:
    finding = found(check_protection(facts), "memory-lock")
    assert (finding.state, finding.found) == (State.ERROR, words)
    assert finding.fix.endswith(fix)


def test_memory_that_is_switched_off_is_told_before_a_start_too() -> None:
    memory = MemoryConfig(budget=512 * MIB, lock=LockMemory.NO)
    facts = replace(BEFORE, daemon=daemon_config(memory=memory))
    assert found(check_protection(facts), "memory-lock").state is State.ERROR


@pytest.mark.parametrize(
    ("facts", "fix"),
    [
        (BARE, "systemctl restart ramsterd.service"),
        (BY_HAND, "choom -n -1000 -p 4711"),
        (BARE_BEFORE, "choom -n -1000 -- ramsterd run --config /etc/ramster/ramsterd.toml"),
    ],
)
def test_a_daemon_that_the_oom_killer_may_take_is_told(facts: Facts, fix: str) -> None:
    finding = found(check_protection(facts), "oom-score")
    assert (finding.found, finding.expected) == ("oom_score_adj 0", "-1000")
    assert finding.fix.endswith(fix)


@pytest.mark.parametrize(
    ("facts", "words", "fix"),
    [
        (BARE, "threads of ramsterd without it", "AmbientCapabilities=CAP_SYS_RESOURCE"),
        (BY_HAND, "threads of ramsterd without it", "ramsterctl stop; ramsterd run"),
        (BARE_BEFORE, "no CAP_SYS_RESOURCE", "ramsterd run"),
    ],
)
def test_a_daemon_whose_allocations_may_wait_for_swap_is_told(
    facts: Facts, words: str, fix: str
) -> None:
    finding = found(check_protection(facts), "io-flusher")
    assert (finding.state, finding.found) == (State.ERROR, words)
    assert fix in finding.fix


def test_guests_need_no_flusher() -> None:
    checks = [finding.check for finding in check_protection(HOST_OF_GUESTS)]
    assert checks == ["memory-lock", "oom-score"]


def test_a_daemon_that_may_protects_itself_if_it_serves_swap() -> None:
    right = replace(BEFORE, start=replace(BARE_START, has_resource_right=True))
    said = {each.check: each for each in check_protection(right)}
    assert said["oom-score"].found == "this shell lets ramsterd set -1000"
    assert said["io-flusher"].state is State.OK
    unsaid = replace(right, daemon=daemon_config(swap=False))
    assert found(check_protection(unsaid), "oom-score").state is State.ERROR
    running = replace(BARE, daemon=daemon_config(swap=False))
    fix = found(check_protection(running), "io-flusher").fix
    assert fix.startswith("set swap = true in the [[export]]")


def test_a_daemon_that_can_not_be_seen_is_judged_by_its_own_word() -> None:
    unseen = replace(BY_HAND, running=replace(RUNNING, process=replace(BARE_PROCESS, pid=0)))
    unseen = replace(unseen, start=BARE_START)
    assert "choom -n -1000 -- ramsterd run" in found(check_protection(unseen), "oom-score").fix


@pytest.mark.parametrize(
    ("helper", "state", "words"),
    [
        (DEVICE.helper, State.OK, "process 42 keeps it attached, and is protected"),
        (None, State.ERROR, "no attach helper"),
        (
            replace(BARE_PROCESS, pid=43),
            State.ERROR,
            "process 43 without locked memory, PR_SET_IO_FLUSHER, oom_score_adj -1000 (it has 0)",
        ),
    ],
    ids=["well", "none", "bare"],
)
def test_who_keeps_a_device_attached_is_judged(
    helper: Process | None, state: State, words: str
) -> None:
    (finding,) = check_helper(replace(DEVICE, helper=helper))
    assert finding.state is state
    assert words in finding.found
    assert state is State.OK or "ramster-nbd@nbd0" in finding.fix
