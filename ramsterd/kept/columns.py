"""Whole columns of numbers, compared and gathered without a loop of ours.  Pure."""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

# Items of a memoryview whose format is one of "HIQ", every n-th of it perhaps; or bytes.
Column: TypeAlias = memoryview | bytes | bytearray


def gatherer(places: Sequence[int]) -> Callable[[Column], Sequence[int]]:
    """Return what gets the items of a column at some places, at least one; neighbours are got as a slice."""
    first, stop = places[0], places[-1] + 1
    if stop - first == len(places) and list(places) == list(range(first, stop)):
        return lambda column: _slice(column, first, stop)
    # Of places that are no neighbours there are two or more.
    return itemgetter(*places)


def _slice(column: Column, first: int, stop: int) -> Sequence[int]:
    part = column[first:stop]
    return part.tolist() if isinstance(part, memoryview) else part


def differing(found: Sequence[int], expected: Sequence[int]) -> Iterable[int]:
    """Return the positions at which two columns differ."""
    if list(found) == list(expected):
        return ()
    return [at for at, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]


def outside(values: Sequence[object], allowed: frozenset[Any]) -> Iterable[int]:
    """Return the positions of values that are not allowed."""
    if allowed.issuperset(values):
        return ()
    return [at for at, value in enumerate(values) if value not in allowed]
