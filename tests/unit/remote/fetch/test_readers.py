"""Readers: who is told apart, and who makes way for whom."""

from ramsterd.core.page import PoolId
from ramsterd.remote.fetch.readers import (
    OBJECTS_MAX,
    READERS_PER_OBJECT_MAX,
    SINGLES_MAX,
    Key,
    Readers,
)
from ramsterd.remote.fetch.trend import NEAR_PAGES, Trend

DISK: Key = (PoolId(1), b"disk")
FAR = 10 * NEAR_PAGES


def read(readers: Readers, index: int, key: Key = DISK) -> Trend | None:
    trend, _ = readers.of(key, index, 8)
    if trend is not None:
        trend.on_read(index, 8)
    return trend


def begin(readers: Readers, index: int, key: Key = DISK) -> Trend:
    """Have a reader that reads in order."""
    found = [read(readers, index + 8 * each, key) for each in range(6)][-1]
    assert found is not None
    assert found.window
    return found


def test_a_reader_begins_with_the_second_read_nearby() -> None:
    readers = Readers()
    assert read(readers, 0) is None
    assert read(readers, FAR) is None
    assert len(readers) == 0
    trend = read(readers, 8)
    assert trend is not None
    assert (trend.end, len(readers)) == (16, 1)
    assert read(readers, 16) is trend


def test_reads_at_random_make_nobody_go() -> None:
    readers = Readers()
    trend = begin(readers, 0)
    for each in range(1, 50):
        assert read(readers, each * FAR) is None
    assert readers.forgotten_total == 0
    assert read(readers, trend.end) is trend


def test_a_single_read_is_remembered_for_a_while() -> None:
    readers = Readers()
    for each in range(SINGLES_MAX + 1):
        read(readers, each * FAR)
    assert read(readers, 8) is None, "the first is forgotten, and this one remembered for another"
    assert read(readers, 3 * FAR + 8) is not None


def test_of_readers_of_an_object_the_one_that_was_idle_for_longest_makes_way() -> None:
    readers = Readers()
    first = begin(readers, 0)
    second = begin(readers, FAR)
    for each in range(2, READERS_PER_OBJECT_MAX):
        begin(readers, each * FAR)
    assert read(readers, first.end) is first
    read(readers, 100 * FAR)
    _, forgotten = readers.of(DISK, 100 * FAR + 8, 8)
    assert forgotten == [second]
    assert readers.forgotten_total == 1
    assert len(readers) == READERS_PER_OBJECT_MAX


def test_the_object_that_nobody_read_for_longest_makes_way_with_its_readers() -> None:
    readers = Readers()
    first = begin(readers, 0)
    for each in range(OBJECTS_MAX - 1):
        begin(readers, 0, (PoolId(2), bytes([each])))
    _, forgotten = readers.of((PoolId(3), b""), 0, 1)
    assert forgotten == [first]
    assert readers.forgotten_total == 1
    assert len(readers) == OBJECTS_MAX - 1
    assert read(readers, first.end) is None
    assert len(readers.forget_all()) == OBJECTS_MAX - 2, "its object has come back for another's"
    assert len(readers) == 0
