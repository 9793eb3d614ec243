"""Trust: which peers keep what they said they stored, and how much is given to one before it has shown that.

A peer's answer *stored* frees our memory, and proves nothing.  So two bounds stand between a peer
that loses pages, by a fault or on purpose, and ours:

**Backoff.**  Each copy that turns out bad is counted, by kind: the peer answers that it does not have the page
(missing), its zpage fails the check (damaged), or its STATUS says that it holds none of ours
(disowned).  From then on it gets no new pages for `DISTRUST_SECONDS`, twice as long each time up to
`DOUBLED_MAX` times.  Unlike a refusal (`refusals`), this is not ended by what the peer stores: that
it said *stored* is just what was wrong.  After `GOOD_SECONDS` without a bad copy, with proofs, the
row ends.

**Credit.**  A peer may have so many pages of which it has given none back.  When half of that is
there it is asked for one of them (`spot_checks`).  One that is intact proves the rest, and doubles
the credit, up to `CREDIT_PAGES_MAX`; a bad one takes it down to `CREDIT_PAGES_MIN`.  So a peer that
never gives a page back gets `CREDIT_PAGES_FIRST` pages and what one frame is over it, and then,
after each backoff, `CREDIT_PAGES_MIN` and as much.  As long as the row lasts, a STATUS must agree
too: that it holds some of our pages.

What it does not do: a peer that keeps what is checked and drops the rest is found out as the rest
is read, and one that has kept all for long and then drops all loses all; one that gives back what
it disowns has for the first time what can be sent between two of its STATUS.  Against those there
are copies.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.remote.limits.backoff import Backoff
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX

# The first backoff, and how often it doubles: 17 minutes.
DISTRUST_SECONDS: Final = 1.0
DOUBLED_MAX: Final = 10
# Longer than all but the longest backoff, so that a peer which loses pages every now and then stays
# in its row.
GOOD_SECONDS: Final = 600.0
# Pages that a peer may have before it has given one back: 4 MiB before compression, and 8 frames,
# so that a check comes back before it holds up anything.
CREDIT_PAGES_FIRST: Final = 8 * PAGES_PER_FRAME_MAX
# After a bad copy: one frame.
CREDIT_PAGES_MIN: Final = PAGES_PER_FRAME_MAX
# A check each 32,768 pages costs nothing, and more than this a peer has never unproven.
CREDIT_PAGES_MAX: Final = 1 << 16


class BadCopy(enum.Enum):
    """How a copy at a peer turned out bad; the values are labels of a metric."""

    MISSING = "missing"
    DAMAGED = "damaged"
    DISOWNED = "disowned"


@dataclass(frozen=True, slots=True)
class Distrusted:
    """A peer is left alone from now on.

    How many of its copies were bad so far, and for how long.
    """

    node: NodeId
    bad: dict[BadCopy, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class TrustedAgain:
    """A peer has kept what it stored for a while."""

    node: NodeId
    bad: dict[BadCopy, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStatistics:
    """One peer: its bad copies, and what it may have."""

    bad_copies_total: dict[BadCopy, int]
    # Whether its last bad copy is not followed by a good while with proofs yet.
    is_in_doubt: bool
    # For how long it gets no new pages; 0: it may get some.
    distrusted_seconds: float
    unproven_pages: int
    credit_pages: int


@dataclass(slots=True)
class _Peer:
    backoff: Backoff = field(default_factory=lambda: Backoff(DISTRUST_SECONDS, DOUBLED_MAX))
    bad: dict[BadCopy, int] = field(default_factory=lambda: dict.fromkeys(BadCopy, 0))
    credit: int = CREDIT_PAGES_FIRST
    # Pages that it stored since it last proved that it keeps them.
    unproven: int = 0
    # Whether it gave a page back, and has yet to say that it holds some.
    is_checked: bool = False
    # Incarnations that are swept for, as it says that it holds nothing.
    disowning: int = 0


class Trust:
    """All peers, and what is to be said of them."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, _Peer] = {}
        self._news: list[Distrusted | TrustedAgain] = []
        # Whether there is anything to be said since `take_news`.  Each pass asks: see `Versions`.
        self.has_news: Callable[[], int] = self._news.__len__
        # Peers that should be asked for a page.
        self.to_check: set[NodeId] = set()
        self.has_to_check: Callable[[], int] = self.to_check.__len__

    def _peer(self, node: NodeId) -> _Peer:
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = _Peer()
        return peer

    # What peers do.

    def on_stored(self, node: NodeId, pages: int) -> None:
        """A peer says that it stored persistent pages."""
        peer = self._peer(node)
        peer.unproven += pages
        if 2 * peer.unproven >= peer.credit and not peer.is_checked:
            self.to_check.add(node)

    def on_proof(self, node: NodeId, now: float) -> None:
        """A peer gave back, intact, one of the pages that were unproven."""
        peer = self._peer(node)
        if not peer.backoff.failures:
            self._prove(node, peer)
            return
        peer.is_checked = True
        self.to_check.discard(node)
        if now >= peer.backoff.until + GOOD_SECONDS:
            peer.backoff.failures = 0
            self._news.append(TrustedAgain(node, dict(peer.bad)))

    def on_some_held(self, node: NodeId) -> None:
        """A peer says in its STATUS that it holds pages of ours."""
        peer = self._peers.get(node)
        if peer is not None and peer.is_checked:
            self._prove(node, peer)

    def is_to_say_what_it_holds(self, node: NodeId) -> bool:
        """Whether a STATUS that says that a peer holds pages of ours is all that it has yet to prove."""
        peer = self._peers.get(node)
        return peer is not None and peer.is_checked

    def _prove(self, node: NodeId, peer: _Peer) -> None:
        self._settle(node, peer)
        peer.credit = min(2 * peer.credit, CREDIT_PAGES_MAX)

    def on_nothing_to_prove(self, node: NodeId) -> None:
        """Of the pages that were unproven none is wanted any more."""
        self._settle(node, self._peer(node))

    def on_bad(self, node: NodeId, kind: BadCopy, pages: int, now: float) -> None:
        """Copies that a peer should have turned out bad."""
        peer = self._peer(node)
        peer.bad[kind] += pages
        if peer.backoff.fail(now):
            self._settle(node, peer)
            peer.credit = CREDIT_PAGES_MIN
            self._news.append(Distrusted(node, dict(peer.bad), peer.backoff.until - now))

    def _settle(self, node: NodeId, peer: _Peer) -> None:
        peer.unproven = 0
        peer.is_checked = False
        self.to_check.discard(node)

    def on_incarnation_over(self, node: NodeId) -> None:
        """An incarnation of a peer ended, with all that it was to prove."""
        if (peer := self._peers.get(node)) is not None:
            self._settle(node, peer)

    def on_disowning(self, node: NodeId) -> None:
        """A peer says that it holds nothing: it gets nothing until it is known what that costs."""
        self._peer(node).disowning += 1

    def on_disowned(self, node: NodeId, pages: int, now: float) -> None:
        """It is known: so many persistent pages, or none, for ephemeral ones may vanish."""
        peer = self._peers.get(node)
        if peer is None:
            return  # it was removed meanwhile
        peer.disowning = max(0, peer.disowning - 1)
        if pages:
            self.on_bad(node, BadCopy.DISOWNED, pages, now)

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more."""
        self._peers.pop(node, None)
        self.to_check.discard(node)

    # What that means.

    def distrusted_until(self, node: NodeId) -> float:
        """Return until when a peer gets no new pages of any kind."""
        peer = self._peers.get(node)
        return 0.0 if peer is None else max(0.0, peer.backoff.until)

    def is_disowning(self, node: NodeId) -> bool:
        """Whether a peer says that it holds nothing, and it is not known yet what that costs."""
        peer = self._peers.get(node)
        return peer is not None and peer.disowning > 0

    def has_credit(self, node: NodeId, pages_in_flight: int) -> bool:
        """Whether a peer may be sent more persistent pages, with so many under way."""
        peer = self._peers.get(node)
        if peer is None:
            return pages_in_flight < CREDIT_PAGES_FIRST
        return peer.unproven + pages_in_flight < peer.credit

    def take_news(self) -> list[Distrusted | TrustedAgain]:
        """Return what changed since the last call."""
        news = self._news.copy()
        self._news.clear()
        return news

    def statistics(self, now: float) -> dict[NodeId, TrustStatistics]:
        """Return a snapshot, by peer."""
        return {
            node: TrustStatistics(
                bad_copies_total=dict(peer.bad),
                is_in_doubt=peer.backoff.failures > 0,
                distrusted_seconds=max(0.0, peer.backoff.until - now),
                unproven_pages=peer.unproven,
                credit_pages=peer.credit,
            )
            for node, peer in self._peers.items()
        }
