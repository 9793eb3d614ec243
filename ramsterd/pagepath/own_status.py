"""Own status: what this node tells each peer of its room, and of the pages that it keeps for it."""

from nodemanager.ids import NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.store import Store
from ramsterd.pagepath.outbox import Outbox
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.receive_shares import ReceiveShares


class OwnStatus:
    """Makes STATUS messages."""

    def __init__(
        self,
        store: Store,
        nodes: NodeTable,
        foreign: ForeignPages,
        receive_shares: ReceiveShares,
        outbox: Outbox,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._foreign = foreign
        self._receive_shares = receive_shares
        self._outbox = outbox
        # The failure detector doubts ourselves: our STATUS says that we take nothing, until that is
        # over.
        self.is_starved = False

    @property
    def is_accepting(self) -> bool:
        """Whether pages of others are welcome."""
        return self._foreign.room_bytes() > 0 and not self.is_starved

    def send_to_all(self, now: float) -> None:
        """Tell every peer that is linked."""
        for node in self._nodes.nodes():
            self.send(node, now)

    def send(self, node: NodeId, now: float) -> None:
        """Tell a peer, if it is linked."""
        if not self._nodes.is_linked(node):
            return
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
