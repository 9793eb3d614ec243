"""Which log lines are said and which are only counted.  Pure.

Anybody who can open a connection can make it fail, thousands of times a second; a peer that
restarts takes thousands of pages with it.  The first of such lines are news, the rest are a number.
So every *site* (a place in the code: logger, level and text without its arguments) has a budget of
lines in each span of time; what came beyond it is said as one line when the span ends.  The next
span has a budget again, unless more came in the one before than the budget: a flood costs its first
lines, and then one line for each span until it is over.

A site may set a budget of its own, by `extra={"lines_max": …}` where it logs: 1 says the first and
then counts.  Lines about different things, such as strangers and members, need different texts, so
that one can't hide the other.
"""

import enum
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LINES_MAX: Final = 60
SPAN_SECONDS: Final = 60.0
# Sites are texts in the code, a few hundred; all beyond this bound share one budget.
SITES_MAX: Final = 1024

_EPHEMERAL: Final = "all other sites"


class Verdict(enum.Enum):
    """What becomes of a line."""

    FIRST = "the first of its site in this span"
    SAID = "said"
    LEFT_OUT = "counted"


@dataclass(frozen=True, slots=True)
class Summary(Generic[T]):
    """What was left out at one site in one span."""

    site: Hashable
    count: int
    seconds: float
    # The last line that was left out.
    last: T


@dataclass(slots=True)
class _Span(Generic[T]):
    began_at: float
    lines_max: int
    # The span before this one overflowed: nothing is said in this one.
    is_spent: bool = False
    came: int = 0
    left_out: int = 0
    last: T | None = None


class Limiter(Generic[T]):
    """The budgets of all sites; a line is a T."""

    def __init__(self, *, span_seconds: float = SPAN_SECONDS, sites_max: int = SITES_MAX) -> None:
        self._span_seconds = span_seconds
        self._sites_max = sites_max
        self._spans: dict[Hashable, _Span[T]] = {}
        self._next_end = math.inf
        self.left_out_total = 0

    def admit(self, site: Hashable, *, now: float, lines_max: int = LINES_MAX) -> Verdict:
        """Return what becomes of a line.

        `leave_out` follows for one that is left out.  Call `due` first.
        """
        if (span := self._span_of(site)) is None:
            if len(self._spans) >= self._sites_max:
                site = _EPHEMERAL
                span = self._span_of(site)
            if span is None:
                span = self._begin(site, now, lines_max)
        span.came += 1
        if span.is_spent or span.came > span.lines_max:
            return Verdict.LEFT_OUT
        return Verdict.FIRST if span.came == 1 else Verdict.SAID

    def leave_out(self, site: Hashable, line: T) -> None:
        """Count a line that `admit` left out; the last one stands for all of them."""
        span = self._span_of(site) or self._spans[_EPHEMERAL]
        span.left_out += 1
        span.last = line
        self.left_out_total += 1

    def due(self, *, now: float) -> list[Summary[T]]:
        """Return what was left out in the spans that have ended.

        `now` may be infinite: at the end.
        """
        if now < self._next_end:
            return []
        ended = [
            (site, span)
            for site, span in self._spans.items()
            if now >= span.began_at + self._span_seconds
        ]
        summaries = []
        for site, span in ended:
            del self._spans[site]
            if span.last is not None:
                seconds = self._span_seconds if math.isinf(now) else now - span.began_at
                summaries.append(Summary(site, span.left_out, seconds, span.last))
            if span.came > span.lines_max and not math.isinf(now):
                self._begin(site, now, span.lines_max).is_spent = True
        self._next_end = min(
            (span.began_at + self._span_seconds for span in self._spans.values()), default=math.inf
        )
        return summaries

    def _span_of(self, site: Hashable) -> _Span[T] | None:
        return self._spans.get(site)

    def _begin(self, site: Hashable, now: float, lines_max: int) -> _Span[T]:
        span = self._spans[site] = _Span(now, lines_max)
        self._next_end = min(self._next_end, now + self._span_seconds)
        return span
