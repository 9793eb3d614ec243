"""Ahead requests: pages of a run that are alike are asked for together, as they would be one by one."""

from typing import cast

import pytest
from hypothesis import given, strategies as st

from ramsterd.core.elsewhere import Elsewhere
from ramsterd.remote.fetch import ahead_requests
from ramsterd.remote.fetch.ahead_requests import AheadRequests
from ramsterd.remote.fetch.asking import Asking
from ramsterd.remote.fetch.trend import Trend
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX

SETS = st.frozensets(st.integers(1, 40), max_size=3)


class FakeAsking:
    """Knows what is on its way, and who can't be asked."""

    def __init__(self, asked: frozenset[int], unlinked: int) -> None:
        self._asked, self._unlinked = asked, unlinked

    def is_asked(self, serial: int) -> bool:
        return serial in self._asked

    def is_none_asked(self, serials: list[int]) -> bool:
        return self._asked.isdisjoint(serials)

    def choose_linked(self, row: int, first: int, second: int) -> int:
        each = [holder for holder in (first, second) if holder and holder != self._unlinked]
        return each[row % len(each)] if each else 0


def made(
    runs: list[Elsewhere],
    asking: FakeAsking,
    others: tuple[frozenset[int], ...],
    *,
    requests_max: int = 9,
) -> AheadRequests:
    batch = AheadRequests(Trend(0, 1), requests_max=requests_max)
    for run in runs:
        batch.add(cast("Asking", asking), run, *others)
    return batch


def elsewhere(first_serial: int, holders: list[tuple[int, int]]) -> Elsewhere:
    serials = list(range(first_serial, first_serial + len(holders)))
    firsts, seconds = ([each[place] for each in holders] for place in (0, 1))
    return Elsewhere([7 * serial for serial in serials], serials, serials[:], firsts, seconds)


def asked_for(
    batch: AheadRequests, pages_max: int = PAGES_PER_FRAME_MAX
) -> dict[int, tuple[int, int]]:
    """Return holder and row of each page, and check what each request says of its pages."""
    for request in batch.made:
        assert request.ahead is not None
        assert 0 < len(request.serials) <= pages_max
        assert request.ahead.zpage_bytes == sum(request.serials)
    return {
        serial: (request.holder, row)
        for request in batch.made
        for serial, row in zip(request.serials, request.rows, strict=True)
    }


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 2), st.integers(0, 1).map(lambda x: 3 * x)), max_size=9)
        | st.integers(1, 9).map(lambda count: [(1, 0)] * count),
        max_size=5,
    ),
    SETS,
    SETS,
    SETS,
    st.integers(0, 3),
)
def test_together_and_one_by_one_the_same_is_asked_for(
    holders_of_runs: list[list[tuple[int, int]]],
    asked: frozenset[int],
    kept: frozenset[int],
    wanted: frozenset[int],
    unlinked: int,
) -> None:
    runs, serial = list[Elsewhere](), 1
    for holders in holders_of_runs:
        runs.append(elsewhere(serial, holders))
        serial += len(holders)
    asking = FakeAsking(asked, unlinked)
    together = asked_for(made(runs, asking, (kept, wanted)))
    with pytest.MonkeyPatch.context() as patch:
        # Runs longer than a frame.
        patch.setattr(ahead_requests, "PAGES_PER_FRAME_MAX", 4)
        in_small_frames = made(runs, asking, (kept, wanted), requests_max=99)
        assert asked_for(in_small_frames, pages_max=4) == together
        patch.setattr(ahead_requests, "_are_alike", lambda *_: False)
        one_by_one = made(runs, asking, (kept, wanted), requests_max=99)
        assert asked_for(one_by_one, pages_max=4) == together


def test_a_run_that_a_frame_has_no_room_for_is_another_request() -> None:
    runs = [
        elsewhere(1, [(1, 0)] * 100),
        elsewhere(101, [(1, 0)] * 60),
        elsewhere(161, [(1, 0)] * 9),
    ]
    batch = made(runs, FakeAsking(frozenset(), 0), ())
    assert [len(each.serials) for each in batch.made] == [100, 69]


def test_a_run_that_is_longer_than_a_frame_is_several_requests() -> None:
    """A reader's runs are as long as what a client asks for together: a longer frame would end the link's sender."""
    batch = made([elsewhere(1, [(1, 0)] * 300)], FakeAsking(frozenset(), 0), ())
    assert [len(each.serials) for each in batch.made] == [128, 128, 44]
    assert sorted(asked_for(batch)) == list(range(1, 301))
    few = AheadRequests(Trend(0, 1), requests_max=2)
    few.add(cast("Asking", FakeAsking(frozenset(), 0)), elsewhere(1, [(1, 0)] * 300))
    assert [len(each.serials) for each in few.made] == [128, 128]


def test_where_there_would_be_too_many_requests_the_rest_is_left() -> None:
    batch = AheadRequests(Trend(0, 1), requests_max=1)
    asking = cast("Asking", FakeAsking(frozenset(), 0))
    batch.add(asking, elsewhere(1, [(1, 0)] * 128))
    batch.add(asking, elsewhere(200, [(1, 0)]))
    batch.add(asking, elsewhere(300, [(2, 0), (2, 1)]))
    assert [len(each.serials) for each in batch.made] == [128]
