"""The order of a parallel run: at any time some tests wait and others need the processor.

Each worker begins with a stretch of the tests, and takes from the stretches of others when its own is done.  So each
stretch begins with its share of those that take longest, which no worker shall be left with in the end; then tests of
real programs, which mostly wait, and all others stand side by side in the same proportion everywhere.
A test that is `alone` comes before all, while the other workers have quick ones: it waits for what has begun.
"""

from collections.abc import Iterable
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
    first, others = ranked[:count], ranked[count:]
    leading = max(0, len(others) - QUICK_BEFORE_LONG * (workers - 1))
    quick, rest = iter(others[leading:]), iter(spread(others[:leading]))
    stretches: list[pytest.Item] = []
    for worker in range(workers):
        if worker:
            stretches += islice(quick, QUICK_BEFORE_LONG)
        stretches += first[worker::workers]
        end = len(ranked) * (worker + 1) // workers
        stretches += islice(rest, max(0, end - len(stretches)))
    return [*stretches, *rest]


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
