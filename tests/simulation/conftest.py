"""Whole clusters in virtual time: few are over in a quarter of a second."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and "seed" in getattr(
            item, "fixturenames", ()
        ):
            item.add_marker(pytest.mark.slow)
