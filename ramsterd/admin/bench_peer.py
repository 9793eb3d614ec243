"""One row of a benchmark of a peer: requests that follow each other until its time is over.

An answer starts the next request in the pass that brought it, so nothing of this node stands between
them but the page path.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial

import trio

from ramsterd.admin.latencies import Latencies
from ramsterd.core.codec import encode_page
from ramsterd.core.page import CorruptPage
from ramsterd.pagepath.bench_link import BenchLink
from ramsterd.remote.wire import PutResult

NO_ANSWER = "no answer: the link was lost, or the peer is too slow"
REFUSED = {
    PutResult.NO_ROOM: "refused: the peer has no room",
    PutResult.NOT_ACCEPTING: "refused: the peer takes no pages now",
}


class PeerRow:
    """Writes or reads, some at a time."""

    def __init__(
        self,
        link: BenchLink,
        pages: Sequence[bytes],
        *,
        is_write: bool,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self.latencies = Latencies()
        self.pages_done = 0
        self.pages_missing = 0
        # Why it ended before its time; empty: it did not.
        self.problem = ""
        self._link, self._pages, self._rng, self._clock = link, pages, rng, clock
        self._issue: Callable[[int], None] = self._put if is_write else self._get
        self._until = 0.0
        self._next_page = 0
        self._ended = trio.Event()

    async def run(
        self, settle: Callable[[], None], *, requests: int, pages_each: int, seconds: float
    ) -> None:
        """Have so many requests of so many pages under way until the time is over, and wait for the last ones."""
        self._until = self._clock() + seconds
        self._ended = trio.Event()
        try:
            for _ in range(requests):
                self._go_on(pages_each)
            settle()
            # Each request ends, with its own timeout if with nothing else.
            await self._ended.wait()
        finally:
            self._until = 0.0

    def _go_on(self, pages_each: int) -> None:
        if self._link.is_over:
            self.problem = self.problem or NO_ANSWER
        if not self.problem and self._clock() < self._until:
            self._issue(pages_each)
        elif not self._link.in_flight:
            self._ended.set()

    def _put(self, count: int) -> None:
        began_at = self._clock()
        first = self._next_page
        self._next_page = (first + count) % len(self._pages)
        some = [self._pages[(first + place) % len(self._pages)] for place in range(count)]
        zpages = [encode_page(page) for page in some]
        self._link.put(zpages, partial(self._on_put, began_at, count))

    def _on_put(self, began_at: float, count: int, results: bytes | None) -> None:
        if results is None:
            self.problem = self.problem or NO_ANSWER
        elif worst := max(results):
            self.problem = self.problem or REFUSED[PutResult(worst)]
        else:
            self._note(began_at, count)
        self._go_on(count)

    def _get(self, count: int) -> None:
        if len(self._link.serials) < count:
            self.problem = "nothing was written"
            self._go_on(count)
            return
        serials = self._rng.sample(self._link.serials, count)
        began_at = self._clock()
        self._link.get(serials, partial(self._on_get, began_at, serials))

    def _on_get(
        self,
        began_at: float,
        serials: Sequence[int],
        answer: tuple[Sequence[int], memoryview] | None,
    ) -> None:
        if answer is None:
            self.problem = self.problem or NO_ANSWER
        else:
            try:
                found = self._link.decode(serials, *answer)
            except CorruptPage as error:
                self.problem = f"a page came back damaged: {error}"
            else:
                self.pages_missing += len(serials) - found
                if found == len(serials):
                    self._note(began_at, found)
        self._go_on(len(serials))

    def _note(self, began_at: float, pages: int) -> None:
        self.latencies.add(self._clock() - began_at)
        self.pages_done += pages
