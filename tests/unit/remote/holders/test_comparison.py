"""What only a holder has, and what only our rows name."""

from array import array

import pytest
from hypothesis import given, strategies as st

from ramsterd.remote.holders.comparison import END, OurSerials, differences
from ramsterd.remote.wire import LISTED_PAGES_MAX, SERIAL_MAX, PageList, serial_ranges


def sorted_serials(*added: list[int]) -> OurSerials:
    ours = OurSerials()
    for some in added:
        ours.add(array("Q", some))
    ours.begin()
    return ours


def found(
    ours: list[int], ranges: list[tuple[int, int]], up_to: int = SERIAL_MAX
) -> tuple[list[int], list[int]]:
    unknown, missing = array("Q"), array("Q")
    for _ in differences(
        sorted_serials(ours), PageList(ranges, up_to), unknown=unknown, missing=missing
    ):
        pass
    return list(unknown), list(missing)


@pytest.mark.parametrize(
    ("ours", "ranges", "unknown", "missing"),
    [
        ([], [], [], []),
        ([1, 2, 3], [(1, 3)], [], []),
        ([], [(5, 7)], [5, 6, 7], []),
        ([5, 6, 7], [], [], [5, 6, 7]),
        ([2, 4, 9], [(1, 4), (7, 8)], [1, 3, 7, 8], [9]),
        ([1, 5], [(2, 4)], [2, 3, 4], [1, 5]),
    ],
)
def test_both_differences_are_found(
    ours: list[int], ranges: list[tuple[int, int]], unknown: list[int], missing: list[int]
) -> None:
    assert found(ours, ranges) == (unknown, missing)


def test_serials_are_read_ascending_however_they_were_added() -> None:
    ours = sorted_serials([9, 1, 5], [], [8, 2], [SERIAL_MAX])
    read = []
    while ours.head != END:
        read.append(ours.head)
        ours.advance()
    assert read == [1, 2, 5, 8, 9, SERIAL_MAX]


def test_what_a_list_does_not_tell_of_yet_is_for_the_next_one() -> None:
    ours = sorted_serials([1, 50, 99])
    unknown, missing = array("Q"), array("Q")
    for listed in (PageList([(40, 41)], 60), PageList([(61, 61)], SERIAL_MAX)):
        for _ in differences(ours, listed, unknown=unknown, missing=missing):
            pass
        assert ours.head > listed.up_to
    assert (list(unknown), list(missing)) == ([40, 41, 61], [1, 50, 99])


def test_a_list_of_as_many_pages_as_there_may_be_is_judged() -> None:
    unknown, missing = found([7], [(1, LISTED_PAGES_MAX)])
    assert len(unknown) == LISTED_PAGES_MAX - 1
    assert missing == []


@pytest.mark.parametrize("ranges", [[], [(1, 5000)], [(each, each) for each in range(1, 5000, 2)]])
def test_a_comparison_pauses_now_and_then(ranges: list[tuple[int, int]]) -> None:
    ours, nothing = sorted_serials(list(range(1, 5001))), array("Q")
    units = list(differences(ours, PageList(ranges, 6000), unknown=nothing, missing=nothing))
    assert sum(units) >= 5000
    assert max(units) < 3000


serials = st.sets(st.integers(1, 60))


@given(ours=serials, theirs=serials, cuts=st.sets(st.integers(1, 59)))
def test_they_are_what_sets_say(ours: set[int], theirs: set[int], cuts: set[int]) -> None:
    left, unknown, missing = sorted_serials(list(ours)), array("Q"), array("Q")
    first = 1
    for up_to in [*sorted(cuts), SERIAL_MAX]:
        ranges = serial_ranges(each for each in theirs if first <= each <= up_to)
        for _ in differences(left, PageList(ranges, up_to), unknown=unknown, missing=missing):
            pass
        first = up_to + 1
    assert list(unknown) == sorted(theirs - ours)
    assert list(missing) == sorted(ours - theirs)
