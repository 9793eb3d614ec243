"""Receive shares: how many bytes a second each owner may send to this node; its STATUS tells them.

The holder decides, because only it knows its link, its budget and the number of senders.
One half of its rate is shared by all members, the other half by those that sent pages lately.
So the sum never exceeds the rate, even when all owners begin at once because this node is new.
A single sender gets at least half of the rate, and all of it in a cluster of two.

The next STATUS tells a new sender its larger share.
(Shares by need would let the first senders take all, and nobody could send before an answer.)
"""

from typing import Final

from nodemanager.ids import NodeId

# An owner counts as sending for so long after a PUT: some periods of STATUS.
SENDING_SECONDS: Final = 2.0


class ReceiveShares:
    """Who sent lately, and what everybody's share is."""

    def __init__(self, bytes_per_second: int) -> None:
        """Begin with nobody sending; a rate of 0 is no cap."""
        self._bytes_per_second = bytes_per_second
        self._put_at: dict[NodeId, float] = {}

    def set_rate(self, bytes_per_second: int) -> None:
        """Take more or less from the next STATUS on, which tells the owners."""
        self._bytes_per_second = bytes_per_second

    def on_put(self, node: NodeId, now: float) -> None:
        """An owner sent pages."""
        self._put_at[node] = now

    def senders(self, now: float) -> frozenset[NodeId]:
        """Return the owners that count as sending: each share depends on how many they are."""
        self._put_at = {each: at for each, at in self._put_at.items() if now - at < SENDING_SECONDS}
        return frozenset(self._put_at)

    def share(self, node: NodeId, members: int, now: float) -> int:
        """Return how many bytes a second an owner may send; 0: as many as it likes.

        Args:
            node: The owner.
            members: How many owners there may be.
            now: Monotonic seconds.
        """
        if not self._bytes_per_second:
            return 0
        senders = self.senders(now)
        half = self._bytes_per_second / 2
        share = half / members
        if node in senders:
            share += half / len(senders)
        return max(1, int(share))
