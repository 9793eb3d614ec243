"""Requests in flight of one connection: those that wait for the pager, and how each is answered at last.

Pure.  A request that can't be answered at once is owed; what waits for it (one of the `on_...`
methods, handed to the pager) settles the debt later and appends the reply (`clients.in_flight`).
After the connection's end the pager calls nothing back.
"""

from collections.abc import Callable, Sequence

from config.limits import PAGE_BYTES
from ramsterd.frontends.clients.in_flight import InFlight
from ramsterd.frontends.nbd.answers import Answers
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.failures import Failure, failure_of
from ramsterd.frontends.nbd.protocol import IN_FLIGHT_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX
from ramsterd.frontends.pager import EachCame, GetOutcome, GetResult, Pages, PutOutcome


class Debts:
    """Requests under way, counted and bounded by their beginner."""

    __slots__ = ("_answers", "_counters", "_latency", "in_flight")

    def __init__(
        self, answers: Answers, counters: Counters, on_late_reply: Callable[[], None]
    ) -> None:
        self.in_flight = InFlight(
            counters,
            on_late_reply,
            bytes_max=IN_FLIGHT_BYTES_MAX,
            requests_max=REQUESTS_IN_FLIGHT_MAX,
        )
        self._answers = answers
        self._counters = counters
        self._latency = counters.latency

    def answer(self, cookie: bytes, failure: Failure | None) -> None:
        """Answer a request that returns no data, or that failed."""
        if failure is None:
            self._answers.success(cookie)
        else:
            self._counters.on_error(failure.errno)
            self._answers.failure(cookie, failure)

    def answer_or_owe_read(self, cookie: bytes, length: int, outcome: GetOutcome | None) -> None:
        """Answer an everyday READ with an outcome of the pager; None says that it follows."""
        if outcome is None:
            self._latency.reads -= 1
            self.in_flight.begin(length)
        else:
            self.answer(cookie, failure_of(outcome))

    def answer_or_owe_each(
        self,
        cookies: Sequence[bytes],
        offsets: Sequence[int],
        pages: Pages,
        follow: list[int],
        lost: list[int],
    ) -> None:
        """Answer READs of one page each as far as their pages are here, or lost; the others follow."""
        self.in_flight.begin(len(follow) * PAGE_BYTES, len(follow))
        start, followed = 0, {*follow}
        for position in (*lost, len(pages)):
            self._answer_here(cookies, offsets, pages, range(start, position), followed)
            if position < len(pages):
                self.answer(cookies[position], failure_of(GetOutcome.LOST))
            start = position + 1

    def _answer_here(
        self,
        cookies: Sequence[bytes],
        offsets: Sequence[int],
        pages: Pages,
        positions: range,
        follow: set[int],
    ) -> None:
        here = [position for position in positions if position not in follow]
        if here:
            self._answers.each_page(
                [cookies[position] for position in here],
                [offsets[position] for position in here],
                [pages[position] for position in here],
            )

    def answer_or_owe_write(self, cookie: bytes, length: int, outcome: PutOutcome | None) -> None:
        """Answer an everyday WRITE, likewise."""
        if outcome is None:
            self._latency.writes -= 1
            self.in_flight.begin(length)
        else:
            self.answer(cookie, failure_of(outcome))

    def on_get(
        self, began_at: float, cookie: bytes, offset: int, length: int, result: GetResult
    ) -> None:
        """The pages of a READ are here, or are not to be had."""
        self.in_flight.end(length)
        if isinstance(result, GetOutcome):
            self.answer(cookie, failure_of(result))
        else:
            self._answers.pages(cookie, offset, result)
        self._latency.on_read(began_at, is_in_pass=self.in_flight.is_in_pass)
        self.in_flight.on_answered()

    def on_each(
        self, began_at: float, cookies: Sequence[bytes], offsets: Sequence[int], came: EachCame
    ) -> None:
        """Of READs of one page each that were owed together, these are here, or are not to be had."""
        positions, pages, failed = came
        count = len(positions)
        self.in_flight.end(count * PAGE_BYTES, count)
        if failed:
            for position in positions:
                if position in failed:
                    self.answer(cookies[position], failure_of(failed[position]))
            positions = [position for position in positions if position not in failed]
        self._answers.each_page(
            [cookies[position] for position in positions],
            [offsets[position] for position in positions],
            [pages[position] for position in positions],
        )
        self._latency.on_read(began_at, is_in_pass=self.in_flight.is_in_pass, count=count)
        self.in_flight.on_answered()

    def on_put(self, began_at: float, cookie: bytes, length: int, outcome: PutOutcome) -> None:
        """The pages of a WRITE are stored, or refused."""
        self.on_write_done(began_at, cookie, length, failure_of(outcome))

    def on_write_done(
        self, began_at: float | None, cookie: bytes, length: int, failure: Failure | None
    ) -> None:
        """A WRITE is done; None says that it began in an earlier process."""
        if began_at is not None:
            self._latency.on_write(began_at, is_in_pass=self.in_flight.is_in_pass)
        self.on_done(cookie, length, failure)

    def on_done(self, cookie: bytes, owed: int, failure: Failure | None) -> None:
        """A request without data in its reply is done."""
        self.in_flight.end(owed)
        self.answer(cookie, failure)
        self.in_flight.on_answered()

    def on_read_end(self, began_at: float, owed: int, failure: Failure | None) -> None:
        """All slices of a READ came."""
        if failure is not None:
            self._counters.on_error(failure.errno)
        self._latency.on_read(began_at, is_in_pass=self.in_flight.is_in_pass)
        self.in_flight.end(owed)
