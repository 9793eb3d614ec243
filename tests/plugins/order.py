"""The order of a parallel run: what waits most comes first, so that no worker is left with it when the others are done.

Tests of real programs mostly wait, and the others need the processor: begun first, the waits are filled by these.
A test that is `alone` comes before all, when no other has to be waited for.
"""

from typing import Final

import pytest

# A test that needs more time than others says so by a timeout of its own.
FIRST: Final = ("alone", "timeout", "system", "slow")


# Last, when all plugins and folders have set their marks.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort only in workers: who runs a few by hand gets them as they stand in their files."""
    if hasattr(config, "workerinput"):
        items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """Return how early a test begins, 0 first; tests of one rank stay as they stand."""
    marks = {mark.name for mark in item.iter_markers()}
    return next((place for place, mark in enumerate(FIRST) if mark in marks), len(FIRST))
