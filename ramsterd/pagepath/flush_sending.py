"""Flush sending: when holders are told which versions nobody will ask for again.

A flush waits a moment for company, so that one frame tells of many.  What a peer is owed leaves
before any new PUT to it: a PUT of the same serials must not be undone by an older flush.  Without a
link it stays owed until there is one.
"""

from collections.abc import Iterable
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.table import NodeTable
from ramsterd.core.store import Store
from ramsterd.pagepath.outbox import Outbox
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.owed_flushes import PIECE_SERIALS, OwedFlushes

# Flushes wait this long for company, or until there are enough to fill a good part of a frame.
FLUSH_SECONDS: Final = 0.05
FLUSH_SERIALS_MIN: Final = 512
# Pieces of what is owed (4096 serials each) that leave in one pass, some 5 ms, and the pause after
# them.
FLUSH_PIECES_MAX: Final = 4
FLUSH_PIECES_SECONDS: Final = 0.005


class FlushSending:
    """What is owed, and when it leaves."""

    def __init__(self, store: Store, holders: Holders, nodes: NodeTable, outbox: Outbox) -> None:
        self._store = store
        self._holders = holders
        self._nodes = nodes
        self._outbox = outbox
        self.owed = OwedFlushes()
        self._send_at: float | None = None

    def collect(self, now: float) -> None:
        """Take over from the store which versions nobody will ask for again."""
        for holder_id, serials in self._store.versions.take_owed().items():
            holder = self._holders.get(holder_id)
            if holder is None or holder.is_dead:
                continue
            holder.on_pages_gone(len(serials))
            before = self.owed.owed_to(holder_id)
            owed = self.owed.owe(holder_id, serials)
            if before < FLUSH_SERIALS_MIN <= owed:
                self._send_at = now
            elif self._send_at is None:
                self._send_at = now + FLUSH_SECONDS

    def move(
        self, ended: Holder, anew: Holder, unsure: Iterable[Iterable[int]], now: float
    ) -> None:
        """A node goes on under another id: it is owed there what it was owed, and all that is `unsure`."""
        self.owed.move(ended.id, anew.id)
        for serials in unsure:
            self.owed.owe(anew.id, serials)
        self._send_at = now

    def owe_unknown(self, holder: Holder, serials: Iterable[int]) -> None:
        """A holder has versions that no row of ours names, so nobody counts them: they leave in this pass."""
        self.owed.owe(holder.id, serials)
        self._send_at = 0.0

    def on_link_up(self, now: float) -> None:
        """Somebody is linked: what waited for that leaves."""
        if self.owed:
            self._send_at = now

    def has_owed(self) -> bool:
        """Whether flushes leave some time, now perhaps."""
        return self._send_at is not None

    def next_deadline(self) -> float | None:
        """Return when flushes leave that no PUT has taken along."""
        return self._send_at

    def send_due(self, now: float) -> None:
        """Send pieces of what is owed, to one holder after the other, as many as one pass bears."""
        if self._send_at is None or self._send_at > now:
            return
        self._send_at, left = None, FLUSH_PIECES_MAX
        linked = [each for each in self.owed.holders() if self._is_linked(each)]
        while linked and left > 0:
            left -= len(linked)
            linked = [each for each in linked if self._send_piece(self._holders[each])]
        if linked:
            self._send_at = now + FLUSH_PIECES_SECONDS

    def _is_linked(self, holder: int) -> bool:
        return self._nodes.is_linked(self._holders[holder].node)

    def send_all(self, holder: Holder) -> None:
        """Send all that a holder is owed, which is two pieces at most: see `is_behind`."""
        while self._send_piece(holder):
            pass

    def _send_piece(self, holder: Holder) -> bool:
        """Send a piece of what a holder is owed, if it is linked; return whether there is more."""
        if not self._nodes.is_linked(holder.node):
            return False
        serials = self.owed.send(holder.id, self._outbox.last_request_id)
        self._store.work["owed"] += len(serials) // 4
        self._outbox.flush(holder.node, serials)
        return self.owed.owed_to(holder.id) > 0

    def is_behind(self, node: NodeId) -> bool:
        """Whether a peer is owed more than may leave in front of a PUT."""
        holder = self._holders.living(node)
        return holder is not None and self.owed.owed_to(holder.id) > PIECE_SERIALS
