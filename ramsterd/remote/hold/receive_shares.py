"""Receive shares: how many bytes a second each owner may send to this node, which its STATUS tells them.

The holder decides, for it alone knows its link, its budget and how many send.  Half of its rate is shared by all
members, whether they send or not; the other half by those that sent something lately.  So the sum is never more than
the rate, not even when all begin at once, as they do when this node has just joined; and a lone owner has at least half
of the rate in a cluster of any size, and all of it in a cluster of two.

An owner that begins is told its larger share by the next STATUS.  (Shares by need would let the first few that ask take all,
and would need an answer before anybody may send.)
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

    def share(self, node: NodeId, members: int, now: float) -> int:
        """Return how many bytes a second an owner may send; 0: as many as it likes.

        Args:
            node: The owner.
            members: How many owners there may be.
            now: Monotonic seconds.
        """
        if not self._bytes_per_second:
            return 0
        self._put_at = {each: at for each, at in self._put_at.items() if now - at < SENDING_SECONDS}
        half = self._bytes_per_second / 2
        share = half / members
        if node in self._put_at:
            share += half / len(self._put_at)
        return max(1, int(share))
