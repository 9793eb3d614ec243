"""What the NBD server counts: plain ints, read as one snapshot."""

import enum
from dataclasses import dataclass

from ramsterd.frontends.nbd.protocol import Command, Errno


class End(enum.Enum):
    """Why a connection ended; the value stands in the log and labels the metric."""

    DISCONNECTED = "disconnected"
    ABORTED = "aborted the handshake"
    CLOSED_EARLY = "closed without a disconnect"
    BROKEN = "connection broke"
    REFUSED = "is refused"
    GARBAGE = "broke the protocol"
    TOO_SLOW = "was too slow"
    STOPPED = "server stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdStatistics:
    """One snapshot; commands and errors by their NBD names."""

    connections: int
    connections_total: int
    connections_refused_total: int
    connections_ended_total: dict[str, int]
    requests_total: dict[str, int]
    errors_total: dict[str, int]
    received_bytes_total: int
    sent_bytes_total: int
    in_flight: int


class Counters:
    """The server's counters; all connections share one."""

    __slots__ = (
        "connections",
        "connections_total",
        "ended",
        "errors",
        "in_flight_count",
        "received_bytes",
        "requests",
        "sent_bytes",
        "unknown_requests",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.connections_total = 0
        self.ended = dict.fromkeys(End, 0)
        # By command; unknown commands share one count, for a client could invent 65,000 of them.
        self.requests = [0] * (max(Command) + 1)
        self.unknown_requests = 0
        self.errors = dict.fromkeys(Errno, 0)
        self.received_bytes = 0
        self.sent_bytes = 0
        self.in_flight_count = 0

    def on_request(self, command: int) -> None:
        """Count one request."""
        if command < len(self.requests):
            self.requests[command] += 1
        else:
            self.unknown_requests += 1

    def on_error(self, error: Errno) -> None:
        """Count one reply that carries an error."""
        self.errors[error] += 1

    def snapshot(self, *, connections_refused: int = 0) -> NbdStatistics:
        """Return all counters as they are now, beside what the server counts of those it turned away."""
        requests = {command.name: self.requests[command] for command in Command}
        return NbdStatistics(
            connections=self.connections,
            connections_total=self.connections_total,
            connections_refused_total=connections_refused,
            connections_ended_total={end.name: count for end, count in self.ended.items()},
            requests_total={**requests, "UNKNOWN": self.unknown_requests},
            errors_total={error.name: count for error, count in self.errors.items() if error},
            received_bytes_total=self.received_bytes,
            sent_bytes_total=self.sent_bytes,
            in_flight=self.in_flight_count,
        )
