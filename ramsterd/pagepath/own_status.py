"""Own status: what this node tells each peer of its room, and of the pages that it keeps for it.

A peer is told at each tick while something changes here, or after it asked for something: it counts
what it placed here until it is told.  Else it is told again at the first tick after
`REPEAT_SECONDS`: to tell and to hear the same again and again is most of what nodes at rest do, and
it grows with their number.

So nodes at rest tell it together, as fireflies flash: who hears the same again tells all others,
unless it did so a moment ago.  Then what all others tell comes in a few wake-ups, and not in one
each.
"""

from collections.abc import Hashable
from math import inf
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.store import Store
from ramsterd.pagepath.outbox import Outbox
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.receive_shares import ReceiveShares

# A bit of the features in HELLO: this node asks a link for a sign of life (PROBE) when heartbeats
# don't get through.  One without it takes each STATUS for that, and is told at each tick.
ASKS_LINKS: Final = 2
REPEAT_SECONDS: Final = 1.4
# The tick after that has slack until then.  Shorter than the silence after which a link says
# KEEPALIVE, as it is by default.
REPEAT_SECONDS_MAX: Final = 1.9
# Who hears a peer repeat its own tells again from then on.
FOLLOW_SECONDS: Final = 1.0
assert FOLLOW_SECONDS < REPEAT_SECONDS < REPEAT_SECONDS_MAX
# All of them are of a second between probes, and shorter with shorter ones: what is reported of a
# node whose link brought something so lately is not believed, two intervals (`heartbeat.roster`).
PROBE_SECONDS: Final = 1.0


class OwnStatus:
    """Makes STATUS messages."""

    def __init__(
        self,
        store: Store,
        nodes: NodeTable,
        foreign: ForeignPages,
        receive_shares: ReceiveShares,
        outbox: Outbox,
        *,
        probe_seconds: float,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._foreign = foreign
        self._receive_shares = receive_shares
        self._outbox = outbox
        # How long they are here: with more than that between probes they stay.
        self._part = min(1.0, probe_seconds / PROBE_SECONDS)
        # What it was made of when all were told last; and by peer, when it was told.
        self._told_of: Hashable = None
        self._told_at: dict[NodeId, float] = {}
        # When all were told again last: each that repeats its own asks for that.
        self._repeated_at = -inf
        # Peers that asked for something since they were told, and those that are told at each tick.
        self._asked: set[NodeId] = set()
        self._eager: set[NodeId] = set()
        # The failure detector doubts ourselves: our STATUS says that we take nothing, until that is
        # over.
        self.is_starved = False

    @property
    def is_accepting(self) -> bool:
        """Whether pages of others are welcome."""
        return self._foreign.room_bytes() > 0 and not self.is_starved

    def on_link_up(self, node: NodeId, now: float, *, is_eager: bool) -> None:
        """Tell a peer whose link is open now; one that `is_eager` does not ask links."""
        (self._eager.add if is_eager else self._eager.discard)(node)
        self.send(node, now)

    def on_asked(self, node: NodeId) -> None:
        """A peer sent pages, or wants something else: what it knows of us is out of date."""
        self._asked.add(node)

    def on_changed(self) -> None:
        """Something has changed here: all are told at the next tick."""
        self._told_of = None

    def on_tick(self, now: float) -> None:
        """Tell those peers that are linked, and may not know how we are."""
        made_of = self._made_of(now)
        is_changed, self._told_of = made_of != self._told_of, made_of
        asked, eager = self._asked, self._eager
        for node in self._nodes.nodes():
            if is_changed or node in asked or node in eager:
                self.send(node, now)
        if self._oldest_told_at() <= now - REPEAT_SECONDS * self._part:
            self._repeat(now)

    def on_repeated(self, now: float) -> None:
        """A peer told the same as before."""
        if self.is_to_follow(now):
            self._repeat(now)

    def is_to_follow(self, now: float) -> bool:
        """Whether all are told again as soon as a peer tells the same as before."""
        due = now - FOLLOW_SECONDS * self._part
        return self._repeated_at <= due and self._oldest_told_at() <= due

    def repeat_until(self) -> float:
        """Return when peers are to be told again at the latest."""
        return self._oldest_told_at() + REPEAT_SECONDS_MAX * self._part

    def _oldest_told_at(self) -> float:
        """Return when that linked peer was told that waits the longest; infinite: there is none."""
        told_at, is_linked = self._told_at, self._nodes.is_linked
        linked = filter(is_linked, self._nodes.nodes())
        return min((told_at.get(node, -inf) for node in linked), default=inf)

    def _repeat(self, now: float) -> None:
        """Tell all again, but those who know it since a moment ago: next time they are told with the others."""
        self._repeated_at, due = now, now - FOLLOW_SECONDS * self._part
        for node in self._nodes.nodes():
            if self._told_at.get(node, due) <= due:
                self.send(node, now)

    def _made_of(self, now: float) -> Hashable:
        """Return all that a STATUS is made of, but what one peer alone changes, which asks us for that."""
        zbud, foreign = self._store.zbud, self._foreign
        return (
            zbud.budget_bytes,
            zbud.resident_bytes,
            foreign.room_bytes(),
            foreign.zpage_bytes,
            self.is_starved,
            len(self._nodes.nodes()),
            self._receive_shares.senders(now),
        )

    def send(self, node: NodeId, now: float) -> None:
        """Tell a peer, if it is linked."""
        if not self._nodes.is_linked(node):
            return
        self._told_at[node] = now
        self._asked.discard(node)
        zbud = self._store.zbud
        room = self._foreign.room_for(node)
        status = PeerStatus(
            budget_bytes=zbud.budget_bytes,
            free_bytes=room,
            is_accepting=room > 0 and not self.is_starved,
            pressure=min(1.0, zbud.resident_bytes / zbud.budget_bytes),
            pages_held_for_us=self._foreign.pages_of(node),
            put_bytes_per_second=self._receive_shares.share(node, len(self._nodes.nodes()), now),
        )
        self._outbox.status(node, status)
