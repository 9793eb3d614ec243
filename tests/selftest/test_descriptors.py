"""A test that puts descriptors at places of its own closes none of another test's."""

import os

from tests.helpers.descriptors import first_free_descriptor

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
