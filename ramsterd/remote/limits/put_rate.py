"""Put rate: how fast we send pages to each peer, so that an empty newcomer is not flooded.

Who joins empty has the largest free part of its budget, so that every owner prefers it, and where all others are full
it is the only one.  Each holder therefore says in its STATUS how many bytes a second it takes from us (`put_bytes_per_second`),
and whatever leaves us keeps to that: remotified, rebuilt, replicated and ephemeral pages alike.

A token bucket for each peer, kept as one time: when all that was sent would have gone at the holder's rate, were it
sent evenly.  A peer is open when that time has passed, and one that was idle has saved up `BURST_SECONDS` at most.  What
leaves is a whole frame, so the bucket may fall below empty by one frame, and is closed until that is made good.
That time is also the deadline somebody who waits is woken at: the two are the same number, so that no rounding
makes a waker come too early, find the peer closed and ask again at once.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate
from ramsterd.remote.limits.alarm import Alarm

# What may leave at once after a pause.  Longer than the pauses between two passes of a busy loop, and short beside the
# holder's keepalives and heartbeats.
BURST_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRateStatistics:
    """One peer's cap, and what it cost."""

    # As its last STATUS said; 0: none.
    bytes_per_second: int
    # How often a PUT used up what there was, and how long the peer was passed over for that.
    throttled_total: int
    throttled_seconds_total: float


@dataclass(slots=True)
class _Bucket:
    bytes_per_second: int = 0
    open_at: float = -math.inf
    closed: int = 0
    closed_seconds: float = 0.0


class PutRate(Alarm):
    """The buckets of all peers, and when to try again."""

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[NodeId, _Bucket] = {}

    def on_status(self, node: NodeId, bytes_per_second: int) -> None:
        """A peer said how fast it takes pages from us; 0: as fast as they come."""
        bucket = self._buckets.setdefault(node, _Bucket())
        bucket.bytes_per_second = bytes_per_second
        if not bytes_per_second:
            bucket.open_at = -math.inf

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more."""
        self._buckets.pop(node, None)

    def open_at(self, node: NodeId) -> float:
        """Return from when on a peer may be sent more; a time that has passed: now."""
        bucket = self._buckets.get(node)
        return -math.inf if bucket is None else bucket.open_at

    def on_put(self, node: NodeId, zpage_bytes: int, now: float) -> None:
        """So much is on its way to a peer that was open."""
        bucket = self._buckets.get(node)
        if bucket is None or not bucket.bytes_per_second:
            return
        assert bucket.open_at <= now, "a PUT to a peer at its cap"
        saved_from = max(bucket.open_at, now - BURST_SECONDS)
        bucket.open_at = saved_from + zpage_bytes / bucket.bytes_per_second
        if bucket.open_at > now:
            bucket.closed += 1
            bucket.closed_seconds += bucket.open_at - now

    # Who waits.

    def wait(self, candidates: Iterable[Candidate], block_bytes: int, now: float) -> None:
        """A block found too few peers: try again when the first that has room for it is open."""
        for each in candidates:
            if each.rate_limited_until > now and each.has_room(block_bytes, now=now):
                self._wake(each.rate_limited_until)

    # What is true.

    def statistics(self) -> dict[NodeId, PutRateStatistics]:
        """Return a snapshot, by peer."""
        return {
            node: PutRateStatistics(
                bytes_per_second=bucket.bytes_per_second,
                throttled_total=bucket.closed,
                throttled_seconds_total=bucket.closed_seconds,
            )
            for node, bucket in self._buckets.items()
        }
