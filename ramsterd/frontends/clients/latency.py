"""How long clients waited for their reads and writes, by what these needed: this node's memory, or peers.

Pure: the shell passes the time in, once when a pass begins and once when its replies have left.  A
request counts from the begin of the pass that served it.  One that is answered in that pass was
answered from the memory of this node; one that is answered later waited for a peer, or for room
that peers make.  A request that takes several passes counts by the pass that answers it.

Everyday requests of a pass are two numbers, `reads` and `writes`, for all of them left at once.  A
pass is over before another begins, so all connections of a front end share one of these.
"""

from dataclasses import dataclass

from ramsterd.host.latency import Latency, LatencyStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLatencyStatistics:
    """Reads and writes of one front end, by what they needed."""

    read_local: LatencyStatistics
    read_peer: LatencyStatistics
    write_local: LatencyStatistics
    write_peer: LatencyStatistics


class RequestLatency:
    """See the module's text."""

    __slots__ = (
        "_read_local", "_read_peer", "_write_local", "_write_peer", "began_at", "ended", "reads", "writes",
    )  # fmt: skip

    def __init__(self) -> None:
        # When the present pass began: the shell sets it.
        self.began_at = 0.0
        # How many requests the present pass has begun and answered.
        self.reads = 0
        self.writes = 0
        self._read_local, self._read_peer = Latency(), Latency()
        self._write_local, self._write_peer = Latency(), Latency()
        # Begun in an earlier pass, and answered since the shell last told the time.
        self.ended: list[tuple[Latency, float, int]] = []

    def on_read(self, began_at: float, *, is_in_pass: bool, count: int = 1) -> None:
        """A read is answered that began in an earlier pass: in a pass of its connection, or between them.

        Or several that began in the same one.
        """
        latency = self._read_local if is_in_pass else self._read_peer
        self.ended.append((latency, began_at, count))

    def on_write(self, began_at: float, *, is_in_pass: bool) -> None:
        """A write is answered, likewise."""
        self.ended.append((self._write_local if is_in_pass else self._write_peer, began_at, 1))

    def end_pass(self, now: float) -> int:
        """What the pass answered has left, or waits for a client that does not read; return how much that was."""
        # A client that waits for each answer pays for all of this once a request.
        answered = self.reads + self.writes + len(self.ended)
        if count := self.reads:
            self.reads = 0
            self._read_local.add(now - self.began_at, count)
        if count := self.writes:
            self.writes = 0
            self._write_local.add(now - self.began_at, count)
        if self.ended:
            self.on_sent(now)
        return answered

    def on_sent(self, now: float) -> None:
        """What was answered between passes has left, likewise."""
        for latency, began_at, count in self.ended:
            latency.add(now - began_at, count)
        self.ended.clear()

    def statistics(self) -> RequestLatencyStatistics:
        """Return a snapshot."""
        return RequestLatencyStatistics(
            read_local=self._read_local.statistics(),
            read_peer=self._read_peer.statistics(),
            write_local=self._write_local.statistics(),
            write_peer=self._write_peer.statistics(),
        )
