"""Columns of a frame's table, from what a test has as lists."""

from array import array
from collections.abc import Iterable, Sequence

from ramsterd.core.twin_hold import Column


def words(values: Iterable[int]) -> Column:
    return array("Q", values)


def of_zpages(
    serials: Iterable[int], checksums: Iterable[int], packed: Iterable[int]
) -> tuple[Column, Column, Column]:
    return array("Q", serials), array("Q", checksums), array("H", packed)


def of_ranges(*ranges: tuple[int, int]) -> tuple[Column, Column]:
    return words(first for first, _ in ranges), words(last for _, last in ranges)


def ranges_of(firsts: Sequence[int], lasts: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(firsts, lasts, strict=True))
