"""What the log says of pages that are lost, out of reach, or at risk, from counters alone.  Pure.

The page path counts and never logs; here somebody looks at the counters every few seconds.  What
begins is said at once, what goes on is said as a number, at most once in a while, and what is over
is said.
"""

import logging
from dataclasses import dataclass
from typing import Final

from config.event_kinds import EventKind
from config.units import human_count
from ramsterd.frontends.nbd.protocol import Errno
from ramsterd.observe.news import AGAIN_SECONDS, News
from ramsterd.observe.snapshot import DaemonStatistics

# Pages of a holder whose link is lost for a moment count as being at risk for that moment: no news.
AT_RISK_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCounts:
    """Counters as they are now."""

    # Requests of NBD that were answered with EIO.
    nbd_errors_total: int
    # Pages that were read and are lost, and pages that no holder sent in time.
    read_lost_total: int
    unreachable_pages_total: int
    # Waits for peers to take what a client wants to be there, that failed.
    failed_replications_total: int
    # Pages whose last copy is gone, read or not.
    lost_pages_total: int
    pages_at_risk: int
    # Whether a sweep looks for more of them.
    is_counting_risk: bool
    rebuilt_pages_total: int
    # Pages whose checksum was wrong: in the memory here, and from peers.
    damaged_pages_total: int


NOTHING_YET: Final = PageCounts(
    nbd_errors_total=0,
    read_lost_total=0,
    unreachable_pages_total=0,
    failed_replications_total=0,
    lost_pages_total=0,
    pages_at_risk=0,
    is_counting_risk=False,
    rebuilt_pages_total=0,
    damaged_pages_total=0,
)


def counts_of(now: DaemonStatistics) -> PageCounts:
    """Pick them from a snapshot."""
    engine = now.engine
    return PageCounts(
        nbd_errors_total=now.nbd.errors_total[Errno.EIO.name],
        read_lost_total=engine.store.get_lost_pages_total,
        unreachable_pages_total=engine.fetch.unreachable_pages_total,
        failed_replications_total=engine.replicate.failed_replications_total,
        lost_pages_total=engine.store.lost_pages_total,
        pages_at_risk=engine.rebuild.pages_at_risk,
        is_counting_risk=engine.rebuild.is_counting,
        rebuilt_pages_total=engine.rebuild.rebuilt_pages_total,
        damaged_pages_total=engine.store.corrupt_pages_total + engine.fetch.corrupt_pages_total,
    )


class PageNews:
    """Remembers what was said."""

    def __init__(self) -> None:
        # As they were when the log last spoke of errors, and of losses; and when that may be again.
        self._at_errors = self._at_losses = self._at_damage = NOTHING_YET
        self._errors_again_at = self._losses_again_at = self._damage_again_at = float("-inf")
        self._risk = _Risk()

    def on_counts(self, now: PageCounts, *, at: float, is_last: bool = False) -> list[News]:
        """Return what is to be said at a time; at the end, also what would have to wait."""
        news = []
        if _errors(now) > _errors(self._at_errors) and (at >= self._errors_again_at or is_last):
            news.append(_told_errors(self._at_errors, now))
            self._at_errors, self._errors_again_at = now, at + AGAIN_SECONDS
        if now.lost_pages_total > self._at_losses.lost_pages_total and (
            at >= self._losses_again_at or is_last
        ):
            news.append(_told_losses(self._at_losses, now))
            self._at_losses, self._losses_again_at = now, at + AGAIN_SECONDS
        if now.damaged_pages_total > self._at_damage.damaged_pages_total and (
            at >= self._damage_again_at or is_last
        ):
            news.append(_told_damage(self._at_damage, now))
            self._at_damage, self._damage_again_at = now, at + AGAIN_SECONDS
        return news + self._risk.on_counts(now, at=at)


class _Risk:
    """Pages with fewer copies than asked: from when on, and whether that was said."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._again_at: float | None = None
        self._rebuilt_before = self._lost_before = 0

    def on_counts(self, now: PageCounts, *, at: float) -> list[News]:
        """Return what is to be said."""
        if not now.pages_at_risk:
            return [] if now.is_counting_risk else self._end(now, at)
        if self._since is None:
            self._since = at
            self._rebuilt_before, self._lost_before = now.rebuilt_pages_total, now.lost_pages_total
        if at < (self._since + AT_RISK_SECONDS if self._again_at is None else self._again_at):
            return []
        self._again_at = at + AGAIN_SECONDS
        rebuilt = now.rebuilt_pages_total - self._rebuilt_before
        text = f"{now.pages_at_risk:,} pages have fewer copies than asked; copied again so far: {rebuilt:,}"
        return [News(logging.WARNING, EventKind.PAGES_AT_RISK, text)]

    def _end(self, now: PageCounts, at: float) -> list[News]:
        since, was_said = self._since, self._again_at is not None
        self._since = self._again_at = None
        if since is None or not was_said:
            return []
        rebuilt, seconds = now.rebuilt_pages_total - self._rebuilt_before, at - since
        lost = now.lost_pages_total - self._lost_before
        text = f"no page has fewer copies than asked any more, after {seconds:.0f} s; copied again: {rebuilt:,}"
        # A page that is lost has no copies to count, either.
        level = logging.WARNING if lost else logging.INFO
        return [News(level, EventKind.PAGES_SAFE, f"{text}, lost: {lost:,}" if lost else text)]


def _errors(counts: PageCounts) -> int:
    return (
        counts.nbd_errors_total
        + counts.read_lost_total
        + counts.unreachable_pages_total
        + counts.failed_replications_total
    )


def _told_errors(before: PageCounts, now: PageCounts) -> News:
    text = (
        f"clients get I/O errors: NBD requests answered with EIO: {now.nbd_errors_total - before.nbd_errors_total};"
        f" reads of lost pages: {now.read_lost_total - before.read_lost_total};"
        f" pages that no holder sent in time: {now.unreachable_pages_total - before.unreachable_pages_total};"
        f" FLUSH and FUA requests without enough copies: {now.failed_replications_total - before.failed_replications_total}"
    )
    return News(logging.ERROR, EventKind.IO_ERRORS, text)


def _told_losses(before: PageCounts, now: PageCounts) -> News:
    lost = now.lost_pages_total - before.lost_pages_total
    text = (
        f"{lost:,} pages are lost with their last copy; since the start: {now.lost_pages_total:,}"
    )
    return News(logging.ERROR, EventKind.PAGES_LOST, text)


def _told_damage(before: PageCounts, now: PageCounts) -> News:
    damaged = human_count(now.damaged_pages_total - before.damaged_pages_total)
    text = (
        f"{damaged} had a wrong checksum, here or from a peer, and another copy is used if there is one;"
        f" since the start: {now.damaged_pages_total:,}. Check the memory of this machine"
    )
    return News(logging.ERROR, EventKind.PAGES_DAMAGED, text)
