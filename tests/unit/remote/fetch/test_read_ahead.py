"""Read-ahead: what is asked for, and its bounds."""

from ramsterd.remote.fetch.read_ahead import REQUESTS_MAX
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
