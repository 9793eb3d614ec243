"""Tests that need the machine for themselves: among parallel workers one is run while no other test runs.

Each test shares the lock of the machine while it runs; one that is marked `alone` takes it whole.  Who wants it passes
a turnstile, which the one that waits for all of it holds: so it waits for the tests that have begun, and no others.
"""

import fcntl
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, TextIO

import pytest

# What a worker is told: where the two files are, which are of its run alone.
FOLDER: Final = "ramster_locks"
TURNSTILE: Final = "turnstile"
MACHINE: Final = "machine"

folder_key = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the locks are; the process that hands out tests makes the folder for all of them."""
    config: pytest.Config = node.config
    if folder_key not in config.stash:
        folder = tempfile.TemporaryDirectory(prefix="ramster-tests-")
        config.stash[folder_key] = folder
        config.add_cleanup(folder.cleanup)
    node.workerinput[FOLDER] = config.stash[folder_key].name


def lock(path: Path, how: int) -> TextIO:
    """Return the file whose closing unlocks it."""
    file = path.open("a")
    fcntl.flock(file, how)
    return file


def take(folder: Path, *, whole: bool) -> TextIO:
    """Return what is to be closed after the test."""
    with lock(folder / TURNSTILE, fcntl.LOCK_EX):
        return lock(folder / MACHINE, fcntl.LOCK_EX if whole else fcntl.LOCK_SH)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait before anything else does: no timeout counts it."""
    told: dict[str, str] | None = getattr(item.config, "workerinput", None)
    if told is None:
        return (yield)
    with take(Path(told[FOLDER]), whole=item.get_closest_marker("alone") is not None):
        return (yield)
