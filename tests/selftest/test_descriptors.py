"""A test that puts descriptors at places of its own closes none of another test's; and none has too high numbers."""

import os

import pytest

from tests.helpers.descriptors import first_free_descriptor
from tests.plugins import descriptors
from tests.plugins.descriptors import OPEN_MAX

# More than any test leaves to the collector.
OTHERS = 1500


def test_the_place_is_above_all_that_are_open() -> None:
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(OTHERS)]
    try:
        first = first_free_descriptor()
        assert first > max(others)
        os.dup2(others[0], first)
        os.close(first)
        for fd in others:
            os.fstat(fd)
    finally:
        for fd in others:
            os.close(fd)


class Leftover:
    """A file that only the collector closes."""

    def __init__(self) -> None:
        self.me = self
        self.number = os.open(os.devnull, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self.number)


def test_files_that_wait_for_the_collector_are_closed_before_select_meets_them() -> None:
    numbers = [Leftover().number for _ in range(OPEN_MAX + 1)]
    assert max(numbers) > OPEN_MAX
    descriptors.pytest_runtest_logfinish()
    for number in numbers:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
