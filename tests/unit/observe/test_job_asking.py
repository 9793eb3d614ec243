"""Which nodes that drain are asked how far they are, and how often."""

from dataclasses import replace
from typing import Any

from ramsterd.jobs.table import JobTable
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.observe.job_asking import (
    ASK_SECONDS,
    OVERDUE_ASK_SECONDS,
    WATCHED_ASK_SECONDS,
    WATCHED_SECONDS,
    DrainAsking,
)
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.job_works import drain
from tests.helpers.made_statistics import NAME, NODE, made_statistics

MADE = made_statistics()
HEARD = DrainSaid(is_reached=True, pages_foreign=9)


def seen(node: str = "alpha", *, said: DrainSaid = HEARD, **changes: Any) -> DaemonStatistics:
    """Return a snapshot of a node that sees another one drain; the order came from n1."""
    table = JobTable()
    table.look([drain(9, node=NAME, **changes)], now=0.0)
    membership = replace(MADE.membership, drains={NODE: said})
    return replace(MADE, node=node, membership=membership, jobs=table.statistics())


def asked(asking: DrainAsking, now: DaemonStatistics, *at: float) -> list[float]:
    """Return when the node is asked."""
    return [each for each in at if asking.due(now, at=each) == [NODE]]


def test_the_node_itself_and_where_it_was_ordered_ask_again_and_again() -> None:
    for node in (NAME, "n1"):
        times = asked(DrainAsking(), seen(node), 0, ASK_SECONDS / 2, ASK_SECONDS, 2 * ASK_SECONDS)
        assert times == [0, ASK_SECONDS, 2 * ASK_SECONDS]


def test_others_ask_until_they_have_heard_something() -> None:
    asking = DrainAsking()
    assert asked(asking, seen(said=DrainSaid(is_reached=True)), 0, ASK_SECONDS) == [0, ASK_SECONDS]
    assert asked(asking, seen(), 2 * ASK_SECONDS, 50 * ASK_SECONDS) == []


def test_while_somebody_watches_they_ask_each_second() -> None:
    asking = DrainAsking()
    now = seen()
    assert asked(asking, now, 0) == []
    asking.on_watched(NAME, at=0)
    assert asked(asking, now, 1, 1 + WATCHED_ASK_SECONDS) == [1, 1 + WATCHED_ASK_SECONDS]
    assert asked(asking, now, 1 + WATCHED_SECONDS) == []


def test_after_the_deadline_all_ask_once_in_a_while() -> None:
    late = seen(seconds_to_deadline=-1)
    times = asked(DrainAsking(), late, 0, ASK_SECONDS, OVERDUE_ASK_SECONDS)
    assert times == [0, OVERDUE_ASK_SECONDS]


def test_what_a_node_said_long_ago_is_asked_for_once_in_a_while() -> None:
    """One whose drain is over tells nobody any more, and this node may have missed its last word."""
    old = seen(as_of_seconds=OVERDUE_ASK_SECONDS + 1)
    times = asked(DrainAsking(), old, 0, ASK_SECONDS, OVERDUE_ASK_SECONDS)
    assert times == [0, OVERDUE_ASK_SECONDS]
    assert asked(DrainAsking(), seen(as_of_seconds=OVERDUE_ASK_SECONDS - 1), 0) == []


def test_one_that_has_ended_is_not_asked_about() -> None:
    table = JobTable()
    table.look([drain(0, node=NAME)], now=0.0)
    now = replace(seen(NAME), jobs=table.statistics())
    assert asked(DrainAsking(), now, 0, 100) == []
