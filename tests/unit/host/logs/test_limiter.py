import math

from ramsterd.host.logs.limiter import Limiter, Summary, Verdict

FIRST, SAID, LEFT_OUT = Verdict.FIRST, Verdict.SAID, Verdict.LEFT_OUT


def admit(limiter: Limiter[str], site: str, now: float, lines_max: int = 2) -> Verdict:
    """Say one line, as the handler does."""
    assert limiter.due(now=now) == [], "the test asked before"
    verdict = limiter.admit(site, now=now, lines_max=lines_max)
    if verdict is LEFT_OUT:
        limiter.leave_out(site, f"{site} at {now:g}")
    return verdict


def test_the_first_lines_of_a_span_are_said_and_the_rest_is_counted() -> None:
    limiter = Limiter[str](span_seconds=10)
    assert [admit(limiter, "a", now) for now in (0, 1, 2, 9)] == [FIRST, SAID, LEFT_OUT, LEFT_OUT]
    assert limiter.due(now=10) == [Summary("a", 2, 10, "a at 9")]
    assert limiter.left_out_total == 2


def test_sites_have_budgets_of_their_own() -> None:
    limiter = Limiter[str](span_seconds=10)
    assert [admit(limiter, "a", 0) for _ in range(3)] == [FIRST, SAID, LEFT_OUT]
    assert admit(limiter, "b", 0) is FIRST


def test_a_flood_costs_one_line_a_span_until_it_is_over() -> None:
    limiter = Limiter[str](span_seconds=10)
    for _ in range(100):
        admit(limiter, "a", 0)
    assert [each.count for each in limiter.due(now=10)] == [98]
    assert {admit(limiter, "a", 10 + i / 10) for i in range(50)} == {LEFT_OUT}
    assert [each.count for each in limiter.due(now=20)] == [50]
    assert limiter.due(now=30) == []
    assert admit(limiter, "a", 30) is FIRST


def test_a_flood_that_became_a_trickle_is_said_again() -> None:
    limiter = Limiter[str](span_seconds=10)
    for _ in range(100):
        admit(limiter, "a", 0)
    limiter.due(now=10)
    assert [admit(limiter, "a", now) for now in (11, 12)] == [LEFT_OUT] * 2
    assert [each.count for each in limiter.due(now=20)] == [2]
    assert admit(limiter, "a", 21) is FIRST


def test_at_the_end_what_was_left_out_is_said_at_once() -> None:
    limiter = Limiter[str](span_seconds=10)
    for _ in range(3):
        admit(limiter, "a", 0)
    assert [each.count for each in limiter.due(now=math.inf)] == [1]
    assert limiter.due(now=math.inf) == []


def test_too_many_sites_share_one_budget() -> None:
    limiter = Limiter[str](span_seconds=10, sites_max=3)
    verdicts = [admit(limiter, f"site {i}", 0) for i in range(7)]
    assert verdicts == [FIRST] * 4 + [SAID, LEFT_OUT, LEFT_OUT]
    [summary] = limiter.due(now=10)
    assert (summary.count, summary.last) == (2, "site 6 at 0")
    assert admit(limiter, "site 9", 20) is FIRST, "quiet sites are forgotten"
