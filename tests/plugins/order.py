"""The order of a parallel run: at any time some tests wait and others need the processor, and no worker is left with a long one.

Each worker begins with a stretch of the tests, and takes from the stretches of others when its own is done.  So each
stretch has its share of those that take longest spread over its first part, and ends with quick ones only; tests of
real programs, which mostly wait, and all others stand between in the same proportion everywhere.
A test that is `alone` comes before all, while the other workers have quick ones: it waits for what has begun.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

import pytest

# A test that needs more time than others says so by a timeout of its own.
FIRST: Final = ("alone", "timeout")
# What the rest consists of, beside those that are quick.
SPREAD: Final = ("system", "slow")
# Quick ones that take seconds together: it does not matter then which worker is the first to begin.
QUICK_BEFORE_LONG: Final = 100
# The part of a stretch over which its longest ones are spread, and the part of all quick ones that come last.
LONG_WITHIN: Final = 0.6
QUICK_AT_LAST: Final = 0.2


# Last, when all plugins and folders have set their marks.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort only in workers: who runs a few by hand gets them as they stand in their files."""
    if hasattr(config, "workerinput"):
        items[:] = arranged(items, config.workerinput["workercount"])


def arranged(items: Iterable[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in as many stretches as there are workers, all of one length."""
    # Each worker has collected the files in an order of its own.
    ranked = sorted(items, key=lambda item: (rank(item), item.path))
    count = sum(rank(item) < len(FIRST) for item in ranked)
    long, others = ranked[:count], ranked[count:]
    quick_count = sum(rank(item) == len(FIRST) + len(SPREAD) for item in others)
    last_count = int(quick_count * QUICK_AT_LAST)
    leading_count = min(QUICK_BEFORE_LONG * (workers - 1), quick_count - last_count)
    others, last = others[: len(others) - last_count], iter(others[len(others) - last_count :])
    others, leading = (
        others[: len(others) - leading_count],
        iter(others[len(others) - leading_count :]),
    )
    rest = iter(spread(others))
    stretches: list[pytest.Item] = []
    for worker in range(workers):
        length = len(ranked) * (worker + 1) // workers - len(stretches)
        head = [*islice(leading, QUICK_BEFORE_LONG if worker else 0)]
        tail = [*islice(last, last_count // workers)]
        own = long[worker::workers]
        middle = [*islice(rest, max(0, length - len(head) - len(own) - len(tail)))]
        stretches += [*head, *among(own, middle), *tail]
    return [*stretches, *rest, *leading, *last]


def among(few: Sequence[pytest.Item], many: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Spread some tests evenly over the first part of others, beginning with one of them."""
    step = len(many) * LONG_WITHIN / max(1, len(few))
    mixed, begin = [], 0
    for place, item in enumerate(few):
        end = int(place * step)
        mixed += [*many[begin:end], item]
        begin = end
    return [*mixed, *many[begin:]]


def spread(ranked: list[pytest.Item]) -> list[pytest.Item]:
    """Mix tests of different ranks evenly; those of one file stay together, for what they share."""
    placed: list[tuple[float, list[pytest.Item]]] = []
    for _, of_rank in groupby(ranked, rank):
        items, before = list(of_rank), 0
        for _, of_file in groupby(items, lambda item: item.path):
            group = list(of_file)
            placed.append(((before + len(group) / 2) / len(items), group))
            before += len(group)
    return [item for _, group in sorted(placed, key=itemgetter(0)) for item in group]


def rank(item: pytest.Item) -> int:
    """Return how early a test begins, 0 first, and from len(FIRST) on of which kind of the rest it is."""
    marks = {mark.name for mark in item.iter_markers()}
    names = (*FIRST, *SPREAD)
    return next((place for place, mark in enumerate(names) if mark in marks), len(names))
