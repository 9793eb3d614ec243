"""Health over time: what is shown, what is muted, what is news."""

from dataclasses import replace
from typing import Final

import pytest

from ramsterd.health.codes import Code, Severity
from ramsterd.health.facts import Facts
from ramsterd.health.machine import Health, NothingToMute
from ramsterd.health.mutes import MuteEnded
from ramsterd.health.watch import Change
from tests.helpers.health_facts import FACTS, down, peer, with_memory, with_peers, with_process

DOWN: Final = with_peers(down("beta", pages=0), peer("gamma"))
BOTH_DOWN: Final = with_peers(down("beta", pages=0), down("gamma", pages=0))


def test_a_node_that_is_well_is_ok() -> None:
    now = Health().on_facts(FACTS, 1.0)
    assert (now.severity, now.failure_tolerance_nodes, now.codes) == (Severity.OK, 1, ())


def test_the_worst_is_first_and_counts() -> None:
    health = Health()
    facts = replace(DOWN, pages=replace(DOWN.pages, lost_exports=("swap0",)))
    now = health.on_facts(replace(facts, process=with_process(keeper="").process), 7.0)
    assert now.severity is Severity.ERR
    assert [each.code for each in now.codes] == ["EXPORT_LOST", "NODE_DOWN", "NOT_KEPT"]
    [first, *_] = health.on_facts(facts, 9.0).codes
    assert (first.active_seconds, first.muted_seconds) == (2.0, 0.0)
    assert first.command == "stop what used it, then: ramsterctl export reset swap0"
    assert now.failure_tolerance_nodes == 0


def test_changes_are_news_once() -> None:
    health = Health()
    health.on_facts(DOWN, 1.0)
    health.on_facts(DOWN, 2.0)
    [appeared] = health.take_news()
    assert isinstance(appeared, Change)
    assert (appeared.code, appeared.after) == (Code.NODE_DOWN, Severity.WARN)
    assert health.take_news() == []


def test_a_muted_code_is_shown_last_and_does_not_count() -> None:
    health = Health()
    facts = replace(DOWN, process=with_process(keeper="").process)
    health.on_facts(facts, 1.0)
    health.mute(Code.NODE_DOWN, 60.0, 1.0)
    now = health.on_facts(facts, 11.0)
    assert [(each.code, each.muted_seconds) for each in now.codes] == [
        ("NOT_KEPT", 0.0), ("NODE_DOWN", 50.0),
    ]  # fmt: skip
    health.mute(Code.NOT_KEPT, 10.0, 11.0)
    assert health.on_facts(facts, 12.0).severity is Severity.OK
    assert health.on_facts(facts, 21.0).severity is Severity.WARN
    health.unmute(Code.NODE_DOWN)
    assert [each.muted_seconds for each in health.on_facts(facts, 22.0).codes] == [0.0, 0.0]


def test_a_mute_that_ends_is_news() -> None:
    health = Health()
    health.on_facts(DOWN, 1.0)
    health.mute(Code.NODE_DOWN, 60.0, 1.0)
    health.take_news()
    now = health.on_facts(BOTH_DOWN, 2.0)
    assert now.severity is Severity.WARN
    assert health.take_news() == [MuteEnded(Code.NODE_DOWN, is_worse=True)]


def test_only_what_holds_can_be_muted() -> None:
    health = Health()
    health.on_facts(FACTS, 1.0)
    with pytest.raises(NothingToMute, match="NODE_DOWN does not hold now"):
        health.mute(Code.NODE_DOWN, 60.0, 1.0)
    with pytest.raises(NothingToMute, match="NODE_DOWN is not muted"):
        health.unmute(Code.NODE_DOWN)


def test_what_was_counted_long_ago_is_no_trouble_now() -> None:
    health = Health()
    refused = with_memory(refused_puts_total=4)
    assert [each.code for each in health.on_facts(refused, 0.0).codes] == ["MEMORY_FULL"]
    for second in range(1, 90):
        health.on_facts(refused, float(second))
    assert health.on_facts(refused, 90.0).codes == ()
    stalls = replace(refused, process=with_process(long_rounds_total=3).process)
    assert [each.code for each in health.on_facts(stalls, 100.0).codes] == ["STARVED"]


def test_pauses_that_repeat_are_trouble_and_a_single_one_is_none() -> None:
    health = Health()

    def codes(pauses: int, seconds: float, now: float) -> list[str]:
        process = with_process(pauses_total=pauses, paused_seconds_total=seconds).process
        return [each.code for each in health.on_facts(replace(FACTS, process=process), now).codes]

    assert codes(0, 0.0, 10.0) == []
    assert codes(1, 60.0, 80.0) == [], "a machine that was suspended"
    assert codes(1, 60.0, 150.0) == []
    assert codes(3, 61.6, 152.0) == [], "tenths of a second are nothing"
    assert codes(4, 63.1, 154.0) == ["STARVED"]
    assert codes(4, 63.1, 213.0) == ["STARVED"]
    for second in range(215, 230):
        codes(4, 63.1, float(second))
    assert codes(4, 63.1, 230.0) == []


def settled(health: Health, stories: list[tuple[Facts, float]]) -> list[bool]:
    """Return whether it is settled after each snapshot."""
    found = []
    for facts, now in stories:
        health.on_facts(facts, now)
        found.append(health.is_settled)
    return found


def test_time_alone_changes_nothing_once_all_codes_have_appeared_or_cleared() -> None:
    unlinked = with_peers(peer("beta", is_linked=False))
    stories = [(FACTS, 0.0), (unlinked, 1.0), (unlinked, 10.0), (FACTS, 11.0), (FACTS, 20.0)]
    assert settled(Health(), stories) == [True, False, True, False, True]


def test_a_mute_ends_by_itself() -> None:
    health, facts = Health(), with_peers(down("beta"))
    assert settled(health, [(facts, 0.0)]) == [True]
    health.mute(Code.NODE_DOWN, 60.0, 1.0)
    assert settled(health, [(facts, 2.0), (facts, 61.0)]) == [False, True]
