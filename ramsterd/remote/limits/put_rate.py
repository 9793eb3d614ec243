"""Put rate: how fast we send pages to each peer, so that an empty new node is not flooded.

A new node has the largest free part of its budget, so every owner prefers it.
Therefore each holder tells in its STATUS how many bytes a second it accepts from us
(`put_bytes_per_second`).
All pages that leave us keep to that rate: remotified, rebuilt, replicated and ephemeral ones.

Each peer has a token bucket, stored as one time: when all bytes sent so far would have gone at the
holder's rate.
The bucket is open when that time has passed; an idle peer saves up at most `BURST_SECONDS`.
A frame is sent whole, so the bucket may be overdrawn by one frame; it is closed until that is paid.
The same time is the deadline at which waiters wake.
It is one number, so no rounding error wakes a waiter too early.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate
from ramsterd.remote.limits.alarm import Alarm

# What may leave at once after a pause.  Longer than the pauses between two passes of a busy loop,
# and short beside the holder's keepalives and heartbeats.
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
