"""What a connection owes its client: requests that wait for the pager, and how each is answered at last.

Pure.  A request that cannot be answered at once is owed; what waits for it (one of the `on_...` methods, handed to
the pager) settles the debt later, appends the reply, and calls `on_late_reply` unless a pass is going on, which
sends at its end anyway.  After `close` the pager calls nothing back.
"""

from collections.abc import Callable

from ramsterd.frontends.nbd.answers import Answers
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.failures import Failure, failure_of
from ramsterd.frontends.pager import GetOutcome, GetResult, PutOutcome


class Debts:
    """Requests under way, counted and bounded by whoever begins them."""

    __slots__ = (
        "_answers",
        "_counters",
        "_on_late_reply",
        "in_flight_bytes",
        "in_flight_count",
        "in_pass",
    )

    def __init__(
        self, answers: Answers, counters: Counters, on_late_reply: Callable[[], None]
    ) -> None:
        self.in_flight_count = 0
        # Of data that a reply or a payload keeps in memory meanwhile.
        self.in_flight_bytes = 0
        self.in_pass = False
        self._answers = answers
        self._counters = counters
        self._on_late_reply = on_late_reply

    def owe(self, length: int) -> None:
        """Take note that a request with so many bytes of data waits."""
        self.in_flight_count += 1
        self.in_flight_bytes += length
        self._counters.in_flight_count += 1

    def close(self) -> None:
        """Forget every debt."""
        self._counters.in_flight_count -= self.in_flight_count
        self.in_flight_count = self.in_flight_bytes = 0

    def answer(self, cookie: bytes, failure: Failure | None) -> None:
        """Answer a request that returns no data, or that failed."""
        if failure is None:
            self._answers.success(cookie)
        else:
            self._counters.on_error(failure.errno)
            self._answers.failure(cookie, failure)

    def answer_or_owe(
        self, cookie: bytes, length: int, outcome: PutOutcome | GetOutcome | None
    ) -> None:
        """Answer with an outcome of the pager; None says that it follows."""
        if outcome is None:
            self.owe(length)
        else:
            self.answer(cookie, failure_of(outcome))

    def on_get(self, cookie: bytes, offset: int, length: int, result: GetResult) -> None:
        """The pages of a READ are here, or are not to be had."""
        self._settle(length)
        if isinstance(result, GetOutcome):
            self.answer(cookie, failure_of(result))
        else:
            self._answers.pages(cookie, offset, result)
        self.on_progress()

    def on_put(self, cookie: bytes, length: int, outcome: PutOutcome) -> None:
        """The pages of a WRITE are stored, or refused."""
        self.on_done(cookie, length, failure_of(outcome))

    def on_done(self, cookie: bytes, owed: int, failure: Failure | None) -> None:
        """A request without data in its reply is done."""
        self._settle(owed)
        self.answer(cookie, failure)
        self.on_progress()

    def on_read_end(self, owed: int, failure: Failure | None) -> None:
        """All slices of a READ came."""
        if failure is not None:
            self._counters.on_error(failure.errno)
        self._settle(owed)

    def on_progress(self) -> None:
        """Replies were appended: outside of a pass somebody must send them."""
        if not self.in_pass:
            self._on_late_reply()

    def _settle(self, length: int) -> None:
        """Take note that a request waits no more."""
        assert self.in_flight_count > 0, "a debt is settled once"
        self.in_flight_count -= 1
        self.in_flight_bytes -= length
        self._counters.in_flight_count -= 1
