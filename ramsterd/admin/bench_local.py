"""One row of a benchmark of the local zcache: puts and gets of a pool of its own, a few milliseconds at a time."""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from config.limits import PAGE_BYTES
from ramsterd.admin.latencies import Latencies
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.pools import PoolsExhausted
from ramsterd.frontends.pager import GetOutcome, Pager, PutOutcome
from ramsterd.pagepath.bench_link import NoBench

OBJECT: Final = b"bench"
# Passes before others get their turn.
PASSES_PER_TURN: Final = 8


def ignore(_: object) -> None:
    """Nobody waits for a page that is not stored, or found, at once."""


class LocalPool:
    """The pool, until `close`."""

    def __init__(
        self,
        pager: Pager,
        pages: Sequence[bytes],
        *,
        pages_max: int,
        clock: Callable[[], float],
    ) -> None:
        """Make it.

        Raises:
            NoBench: There are too many pools.
        """
        self._pager, self._clock = pager, clock
        self._pages_max = pages_max
        self._pages = pages
        try:
            self._pool: PoolId = pager.new_pool(PoolKind.EPHEMERAL, program_pool(""))
        except PoolsExhausted as error:
            raise NoBench(str(error)) from None
        self._client = pager.open_client()

    def close(self) -> None:
        """Drop all its pages, in slices."""
        self._client.close()
        self._pager.drop_pool(self._pool)
        self._pager.settle()

    async def run(self, *, is_write: bool, run_pages: int, seconds: float) -> "LocalRow":
        """Write or read runs of pages until the time is over."""
        row, until, index = LocalRow(), self._clock() + seconds, 0
        run = memoryview(b"".join(self._pages[:run_pages]))
        while self._clock() < until and not row.problem:
            for _ in range(PASSES_PER_TURN):
                index = index + run_pages if index + 2 * run_pages <= self._pages_max else 0
                began_at = self._clock()
                is_done = self._put(index, run) if is_write else self._get(index, run_pages)
                self._pager.settle()
                if is_done:
                    row.latencies.add(self._clock() - began_at)
                    row.pages_done += run_pages
                elif is_write:
                    row.problem = "no room"
                    break
                else:
                    row.pages_missing += run_pages
            await trio.lowlevel.checkpoint()
        return row

    def _put(self, index: int, run: memoryview) -> bool:
        pages = run if len(run) > PAGE_BYTES else self._page(index)
        outcome = self._client.put(self._pool, OBJECT, index, pages, ignore)
        return outcome is PutOutcome.STORED

    def _page(self, index: int) -> memoryview:
        return memoryview(self._pages[index % len(self._pages)])

    def _get(self, index: int, count: int) -> bool:
        found = self._client.get(self._pool, OBJECT, index, count, ignore)
        return found is not None and not isinstance(found, GetOutcome) and None not in found


class LocalRow:
    """What became of a row."""

    def __init__(self) -> None:
        self.latencies = Latencies()
        self.pages_done = 0
        self.pages_missing = 0
        self.problem = ""
