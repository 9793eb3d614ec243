"""Read-ahead: what is asked for, and its bounds."""

from ramsterd.remote.fetch.read_ahead import REQUESTS_MAX
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX
from tests.helpers.made_owner import BLOCK_PAGES, ONE, OTHER, THIRD, Owner

RUN = 8


def test_there_are_never_more_requests_than_their_limit() -> None:
    owner = Owner(budget_bytes=8 << 20)
    for block in range(60):
        owner.put(BLOCK_PAGES)
        owner.send((ONE, OTHER, THIRD)[block % 3])
    ahead = owner.fetches._read_ahead
    ahead._requests = REQUESTS_MAX - 1
    for start in range(0, 6 * RUN, RUN):
        ahead.on_read(owner.pool, b"", range(start, start + RUN), 1.0)
    assert len(owner.fetches.take_ahead(1.0)) == 1
    assert ahead._requests == REQUESTS_MAX


def test_no_request_is_longer_than_a_frame_however_long_the_runs_of_a_reader_are() -> None:
    owner = Owner(budget_bytes=32 << 20)
    for _ in range(2048 // BLOCK_PAGES):
        owner.put(BLOCK_PAGES)
        owner.send(ONE)
    ahead = owner.fetches._read_ahead
    for start in range(0, 5 * 256, 256):
        ahead.on_read(owner.pool, b"", list(range(start, start + 200)), 1.0)
    requests = owner.fetches.take_ahead(1.0)
    assert sum(len(each.serials) for each in requests) >= 200
    assert max(len(each.serials) for each in requests) <= PAGES_PER_FRAME_MAX
