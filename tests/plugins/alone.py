"""Tests that need the machine for themselves: among parallel workers one is run while no other test runs.

Each test shares the lock of the machine while it runs; one that is marked `alone` takes it whole.  Who wants it passes
a turnstile, which the one that waits for all of it holds: so it waits for the tests that have begun, and no others.
"""

import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import Final, TextIO

import pytest

# Files of this tree stand for the two: nothing is left behind.
TURNSTILE: Final = Path(__file__)
MACHINE: Final = Path(__file__).with_name("slow.py")


def lock(path: Path, how: int) -> TextIO:
    """Return the file whose closing unlocks it."""
    file = path.open()
    fcntl.flock(file, how)
    return file


def take(*, whole: bool) -> TextIO:
    """Return what is to be closed after the test."""
    with lock(TURNSTILE, fcntl.LOCK_EX):
        return lock(MACHINE, fcntl.LOCK_EX if whole else fcntl.LOCK_SH)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait before anything else does: no timeout counts it."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with take(whole=item.get_closest_marker("alone") is not None):
        return (yield)
