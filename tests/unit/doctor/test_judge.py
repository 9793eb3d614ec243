"""Which checks are made where."""

from dataclasses import replace

import pytest

from config.model import NbdConfig
from net.listener import GREETINGS_MAX
from ramsterd.admin.socket import CONNECTIONS_MAX
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import State, worst
from ramsterd.doctor.judge import OWN_DESCRIPTORS, conditions_of_own_swap, judge
from ramsterd.doctor.judge_around import judge_around
from tests.helpers.doctor_facts import (
    BARE_PROCESS,
    BARE_START,
    BEFORE,
    FACTS,
    HOST_OF_GUESTS,
    PROCESS,
    RUNNING,
    START,
    found,
)
from tests.helpers.doctor_surroundings import AROUND, CURRENT

GENERAL = ["config", "daemon", "memory-limit", "descriptors", "kept-memory"]
SWAP = [
    "own-swap", "exports", "copies", "on-unreachable", "memory-lock", "oom-score", "reserve", "pressure",
]  # fmt: skip
AROUND_IT = [
    "ports", "links", "heartbeats", "path-mtu", "cluster", "clocks", "versions", "cluster-file", "members",
    "certificate", "units", "program",
]  # fmt: skip
OWN = ["io-flusher", "min-free", "watermark-boost", "memory-min", "swap-max", "others-bounded", "nbd-module", "helper-units"]  # fmt: skip


def names(facts: Facts, *, for_swap: bool) -> list[str]:
    return [finding.check for finding in judge(facts, for_swap=for_swap)]


@pytest.mark.parametrize(
    ("facts", "checks"),
    [(HOST_OF_GUESTS, SWAP), (BEFORE, SWAP + OWN), (FACTS, [*SWAP, *OWN, "helper"])],
    ids=["guests", "before", "own"],
)
def test_what_is_checked_follows_from_who_swaps(facts: Facts, checks: list[str]) -> None:
    assert names(facts, for_swap=False) == GENERAL
    assert sorted(names(facts, for_swap=True)) == sorted([*GENERAL, *checks])


@pytest.mark.parametrize("facts", [FACTS, BEFORE, HOST_OF_GUESTS], ids=["own", "before", "guests"])
def test_a_machine_on_which_all_is_right_is_ok(facts: Facts) -> None:
    findings = judge(facts, for_swap=True)
    assert [str(each) for each in findings if each.state is not State.OK] == []


def test_what_is_around_a_daemon_is_judged_apart() -> None:
    findings = list(judge_around(CURRENT, AROUND))
    assert [str(each) for each in findings if each.state is not State.OK] == []
    assert [finding.check for finding in findings] == AROUND_IT


def test_what_may_hang_the_machine_is_an_error_and_what_slows_guests_a_warning() -> None:
    bare = replace(RUNNING, process=BARE_PROCESS)
    own = judge(replace(FACTS, running=bare), for_swap=True)
    guests = judge(replace(HOST_OF_GUESTS, running=bare), for_swap=True)
    for check in ("memory-lock", "oom-score"):
        assert found(own, check).state is State.ERROR
        assert found(guests, check).state is State.WARNING
    assert worst(guests) is State.WARNING


def test_conditions_for_own_swap_do_not_ask_other_nodes() -> None:
    checks = {finding.check for finding in conditions_of_own_swap(BEFORE)}
    assert {"copies", "helper", "kept-memory", "on-unreachable"}.isdisjoint(checks)
    assert worst(conditions_of_own_swap(BEFORE)) is State.OK
    assert worst(conditions_of_own_swap(replace(BEFORE, start=BARE_START))) is State.ERROR


def test_suspicious_settings_are_warnings_that_name_the_key() -> None:
    facts = replace(FACTS, daemon=replace(FACTS.daemon, nbd=NbdConfig()))
    finding = found(judge(facts, for_swap=False), "config")
    assert finding.state is State.WARNING
    assert finding.found == "1 [[export]] and no endpoint for clients"
    assert finding.expected == "socket or listen in [nbd]"
    assert "ramsterd check-config --config /etc/ramster/ramsterd.toml" in finding.fix
    keyed = replace(FACTS, daemon=replace(FACTS.daemon, state_dir=None))
    assert "(state_dir)" in found(judge(keyed, for_swap=False), "config").risk


def test_a_daemon_that_does_not_answer_is_not_taken_for_one_that_does_not_run() -> None:
    silent = replace(FACTS, running=None, no_answer="/c.sock: Permission denied")
    finding = found(judge(silent, for_swap=False), "daemon")
    assert finding.state is State.WARNING
    assert finding.found == "no answer at /c.sock: Permission denied"
    unseen = replace(FACTS, running=replace(RUNNING, process=replace(PROCESS, pid=0)))
    unseen_finding = found(judge(unseen, for_swap=False), "daemon")
    assert unseen_finding.state is State.WARNING
    assert "can't be seen from here" in unseen_finding.found
    assert "does not run" in found(judge(BEFORE, for_swap=False), "daemon").found
    assert "0.1.0 runs" in found(judge(FACTS, for_swap=False), "daemon").found


def test_too_few_descriptors_are_told_before_clients_are_refused() -> None:
    few = replace(BEFORE, start=replace(START, descriptors_max=64))
    finding = found(judge(few, for_swap=False), "descriptors")
    assert (finding.state, finding.found) == (
        State.WARNING,
        "64 file descriptors, 32 of them for clients",
    )
    alone = replace(few, daemon=replace(few.daemon, nbd=NbdConfig()))
    links = found(judge(alone, for_swap=False), "descriptors")
    assert links.found == "64 file descriptors, 32 of them kept for links"
    assert links.expected.startswith("at least 390: half of them for links")
    assert OWN_DESCRIPTORS > GREETINGS_MAX + CONNECTIONS_MAX
    unlimited = replace(BEFORE, start=replace(START, descriptors_max=None))
    assert found(judge(unlimited, for_swap=False), "descriptors").state is State.OK


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("/etc/ramster/ramsterd.toml", "ramsterctl doctor, as root"),
        ("/srv/n1.toml", "ramsterctl doctor --config /srv/n1.toml, as root"),
    ],
    ids=["usual", "another"],
)
def test_a_line_that_checks_again_names_a_file_that_is_not_the_usual_one(
    file: str, line: str
) -> None:
    facts = replace(FACTS, file=file, running=None, no_answer="/run/c.sock: Permission denied")
    assert found(judge(facts, for_swap=False), "daemon").fix.startswith(line)


def test_a_file_that_only_the_running_daemon_names_is_said_to_be_its_own() -> None:
    facts = replace(FACTS, file="/srv/n1.toml", is_file_of_running=True)
    config = found(judge(facts, for_swap=False), "config")
    assert config.found.startswith("/srv/n1.toml, which the running ramsterd was started with,")
    usual = replace(FACTS, is_file_of_running=True)
    assert "was started with" not in found(judge(usual, for_swap=False), "config").found
