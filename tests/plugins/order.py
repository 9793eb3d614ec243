"""The order of a parallel run: at any time some tests wait and others need the processor, and no worker is left with a long one.

Workers take from one queue (`Queue`).  Those tests that take longest are spread over its first part, and it ends with such
as compute; tests of real programs, which mostly wait, and all others stand between in the same proportion everywhere.
A test that is `alone` comes before all, while the other workers have quick ones: it waits for what has begun.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# A test that needs more time than others says so by a timeout of its own.
FIRST: Final = ("alone", "timeout")
# What the rest consists of, beside those that are quick.
SPREAD: Final = ("system", "slow")
# Quick ones that take seconds together: meanwhile one that is alone has begun.
QUICK_BEFORE_LONG: Final = 200
# The part of the queue over which its longest ones are spread, and that over which those that wait or take a while are: what
# comes behind them is quick, so that workers end together.
LONG_WITHIN: Final = 0.6
SPREAD_WITHIN: Final = 0.95
# Here a worker takes one test at a time; elsewhere a file, whose tests take less than to say which comes next.
ONE_AT_A_TIME: Final = tuple(
    f"tests/{folder}/"
    for folder in (
        "crash",
        "docs",
        "guest",
        "properties",
        "selftest",
        "simulation",
        "system",
        "walkthrough",
    )
)


class Queue(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Hands out tests in the order in which they stand, a few at a time, to who has nothing left."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def remove_node(self, node: WorkerController) -> str | None:
        """Have others do what a worker leaves undone; return the test that it died of, which is over."""
        units = self.assigned_work.pop(node)
        left = {name: unit for name, unit in units.items() if not all(unit.values())}
        if not left:
            return None
        first = next(iter(left.values()))
        crashed: str = next(nodeid for nodeid, is_done in first.items() if not is_done)
        first[crashed] = True
        self.workqueue.update({name: unit for name, unit in left.items() if not all(unit.values())})
        for each in self.assigned_work:
            self._reschedule(each)
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        return taken_together(nodeid)


@cache
def taken_together(nodeid: str) -> str:
    """Return the name of what a worker takes with a test: tests of one file, or it alone."""
    path = nodeid.partition("::")[0]
    return nodeid if path.startswith(ONE_AT_A_TIME) and not shares(path) else path


@cache
def shares(path: str) -> bool:
    """Whether the tests of a file share what one of them has made."""
    return 'scope="module"' in (Path(__file__).parents[2] / path).read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Queue | None:
    """Take part in `--dist loadscope`."""
    return Queue(config, log) if config.option.dist == "loadscope" else None


# Last, when all plugins and folders have set their marks.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort only in workers: who runs a few by hand gets them as they stand in their files."""
    if hasattr(config, "workerinput"):
        items[:] = arranged(items)


def arranged(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the tests as the queue has them."""
    # Each worker has collected the files in an order of its own.
    ranked = sorted(
        ((rank(item), item) for item in items),
        key=lambda each: (each[0], -seconds(each[1]), each[1].path),
    )
    alone = [item for place, item in ranked if place == 0]
    long = [item for place, item in ranked if 0 < place < len(FIRST)]
    others = [each for each in ranked if each[0] >= len(FIRST)]
    quick = [item for place, item in others if place == len(FIRST) + len(SPREAD)]
    computing = [item for item in quick if taken_together(item.nodeid) == item.nodeid]
    # Half of those that compute for a while come last, all others with the rest.
    last = computing[len(computing) // 2 :]
    head = [item for item in quick if taken_together(item.nodeid) != item.nodeid][
        :QUICK_BEFORE_LONG
    ]
    placed = {*map(id, last), *map(id, head)}
    rest = [each for each in others if id(each[1]) not in placed]
    return [*alone, *head, *among(long, spread(rest)), *last]


def among(few: Sequence[pytest.Item], many: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Spread some tests evenly over the first part of others, beginning with one of them."""
    step = len(many) * LONG_WITHIN / max(1, len(few))
    mixed, begin = [], 0
    for place, item in enumerate(few):
        end = int(place * step)
        mixed += [*many[begin:end], item]
        begin = end
    return [*mixed, *many[begin:]]


def spread(ranked: list[tuple[int, pytest.Item]]) -> list[pytest.Item]:
    """Mix tests of different ranks evenly; those of one file stay together, for what they share."""
    placed: list[tuple[float, list[pytest.Item]]] = []
    for place, of_rank in groupby(ranked, itemgetter(0)):
        items, before = [item for _, item in of_rank], 0
        within = SPREAD_WITHIN if place < len(FIRST) + len(SPREAD) else 1.0
        for _, of_file in groupby(items, lambda item: item.path):
            group = list(of_file)
            placed.append((within * (before + len(group) / 2) / len(items), group))
            before += len(group)
    return [item for _, group in sorted(placed, key=itemgetter(0)) for item in group]


def rank(item: pytest.Item) -> int:
    """Return how early a test begins, 0 first, and from len(FIRST) on of which kind of the rest it is."""
    marks = {mark.name for mark in item.iter_markers()}
    names = (*FIRST, *SPREAD)
    return next((place for place, mark in enumerate(names) if mark in marks), len(names))


def seconds(item: pytest.Item) -> float:
    """Return the timeout of its own that a test has, or 0: the longest of those that are long come first."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args else 0.0
