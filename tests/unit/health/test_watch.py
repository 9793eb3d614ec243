"""Hysteresis: when a code appears, gets worse or better, and clears."""

from typing import Final

import pytest

from ramsterd.health.codes import RULES, Code, Finding, Severity
from ramsterd.health.watch import Change, Watch

LINK: Final = RULES[Code.LINK_DOWN]
assert LINK.appear_seconds > 1
assert LINK.clear_seconds > 1


def finding(code: Code = Code.LINK_DOWN, severity: Severity = Severity.WARN) -> Finding:
    return Finding(code=code, severity=severity, summary="it is so", command="top")


def steps(changes: list[Change]) -> list[tuple[Severity, Severity]]:
    return [(change.before, change.after) for change in changes]


def test_what_an_operator_ends_appears_and_clears_at_once() -> None:
    watch, lost = Watch(), finding(Code.EXPORT_LOST, Severity.ERR)
    [change] = watch.on_findings([lost], 10.0)
    assert (change.code, change.before, change.after) == (
        Code.EXPORT_LOST, Severity.OK, Severity.ERR,
    )  # fmt: skip
    assert watch.on_findings([lost], 11.0) == []
    assert watch.active_codes == {Code.EXPORT_LOST}
    [change] = watch.on_findings([], 15.0)
    assert (change.before, change.after, change.seconds) == (Severity.ERR, Severity.OK, 5.0)
    assert watch.active == []


def test_trouble_that_is_over_soon_was_none() -> None:
    watch = Watch()
    assert watch.on_findings([finding()], 10.0) == []
    assert watch.on_findings([], 10.5) == []
    assert watch.on_findings([finding()], 11.0) == []
    assert watch.on_findings([finding()], 10.0 + LINK.appear_seconds) == []
    assert steps(watch.on_findings([finding()], 11.0 + LINK.appear_seconds)) == [
        (Severity.OK, Severity.WARN)
    ]


def test_what_comes_back_soon_was_not_over() -> None:
    watch = Watch()
    watch.on_findings([finding()], 0.0)
    watch.on_findings([finding()], LINK.appear_seconds)
    now = LINK.appear_seconds
    for _ in range(20):
        now += LINK.clear_seconds - 0.5
        assert watch.on_findings([], now) == []
        now += 0.5
        assert watch.on_findings([finding()], now) == []
    assert watch.active_codes == {Code.LINK_DOWN}
    assert watch.on_findings([], now + 1) == []
    assert steps(watch.on_findings([], now + 1 + LINK.clear_seconds)) == [
        (Severity.WARN, Severity.OK)
    ]


def test_it_gets_worse_at_once_and_better_after_a_while() -> None:
    watch, seconds = Watch(), RULES[Code.NODE_DOWN].clear_seconds
    bad, worse = (finding(Code.NODE_DOWN, severity) for severity in (Severity.WARN, Severity.ERR))
    watch.on_findings([bad], 0.0)
    assert steps(watch.on_findings([worse], 1.0)) == [(Severity.WARN, Severity.ERR)]
    assert watch.on_findings([bad], 2.0) == []
    assert watch.active[0].finding.severity is Severity.ERR
    assert watch.on_findings([worse], 3.0) == []
    assert watch.on_findings([bad], 4.0) == []
    assert steps(watch.on_findings([bad], 4.0 + seconds)) == [(Severity.ERR, Severity.WARN)]
    assert watch.on_findings([], 5.0 + seconds) == [], "it clears after a while of its own"
    assert steps(watch.on_findings([], 5.0 + 2 * seconds)) == [(Severity.WARN, Severity.OK)]


def test_the_figures_shown_are_the_last_ones() -> None:
    watch = Watch()
    watch.on_findings([finding(Code.NODE_DOWN)], 0.0)
    later = Finding(code=Code.NODE_DOWN, severity=Severity.WARN, summary="2 nodes", command="top")
    watch.on_findings([later], 1.0)
    watch.on_findings([], 2.0)
    assert [(each.finding, each.since) for each in watch.active] == [(later, 0.0)]


@pytest.mark.parametrize(("summary", "command"), [("", "top"), ("it is so", "")])
def test_a_finding_says_all_of_it(summary: str, command: str) -> None:
    with pytest.raises(AssertionError):
        Finding(code=Code.STARVED, severity=Severity.WARN, summary=summary, command=command)


def test_a_finding_is_as_bad_as_its_code_can_be() -> None:
    with pytest.raises(AssertionError):
        finding(Code.STARVED, Severity.ERR)
    with pytest.raises(AssertionError):
        finding(Code.STARVED, Severity.OK)
