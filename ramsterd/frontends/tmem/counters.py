"""What the tmem server counts: plain ints, read as one snapshot."""

import enum
from dataclasses import dataclass

from ramsterd.frontends.tmem.messages import ErrorCode, TmemType
from ramsterd.frontends.tmem.pools import PoolSnapshot, UserSnapshot


class End(enum.Enum):
    """Why a connection ended; the value stands in the log and labels the metric."""

    CLOSED = "closed"
    BROKEN = "connection broke"
    GARBAGE = "broke the protocol"
    TOO_SLOW = "said no HELLO in time"
    STOPPED = "server stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TmemStatistics:
    """One snapshot."""

    connections: int
    connections_total: int
    connections_refused_total: int
    connections_ended_total: dict[str, int]
    requests_total: dict[str, int]
    errors_total: dict[str, int]
    received_bytes_total: int
    sent_bytes_total: int
    in_flight: int
    pools: tuple[PoolSnapshot, ...]
    users: tuple[UserSnapshot, ...]
    doomed_pools: int


class Counters:
    """The server's counters; all connections share one."""

    __slots__ = (
        "connections",
        "connections_total",
        "ended",
        "errors",
        "in_flight",
        "received_bytes",
        "requests",
        "sent_bytes",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.connections_total = 0
        self.ended = dict.fromkeys(End, 0)
        self.requests = [0] * (max(TmemType) + 1)
        self.errors = dict.fromkeys(ErrorCode, 0)
        self.received_bytes = 0
        self.sent_bytes = 0
        self.in_flight = 0

    def snapshot(
        self,
        pools: tuple[PoolSnapshot, ...],
        users: tuple[UserSnapshot, ...],
        doomed_pools: int,
        *,
        connections_refused: int = 0,
    ) -> TmemStatistics:
        """Return all counters as they are now, beside what the book of pools and the server say."""
        return TmemStatistics(
            connections=self.connections,
            connections_total=self.connections_total,
            connections_refused_total=connections_refused,
            connections_ended_total={end.name: count for end, count in self.ended.items()},
            requests_total={
                each.name: self.requests[each] for each in TmemType if each is not TmemType.ERROR
            },
            errors_total={code.name: count for code, count in self.errors.items()},
            received_bytes_total=self.received_bytes,
            sent_bytes_total=self.sent_bytes,
            in_flight=self.in_flight,
            pools=pools,
            users=users,
            doomed_pools=doomed_pools,
        )
