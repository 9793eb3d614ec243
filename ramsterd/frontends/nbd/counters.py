"""The counters of the NBD server.  Pure."""

import enum

from ramsterd.frontends.clients import counters as clients
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


class Counters(clients.Counters[End, Errno]):
    """The server's counters; all connections share one."""

    __slots__ = ("unknown_requests",)

    def __init__(self) -> None:
        super().__init__(End, tuple(Command), Errno)
        # Unknown commands share one count, for a client could invent 65,000 of them.
        self.unknown_requests = 0

    def on_request(self, command: int) -> None:
        """Count one request."""
        if command < len(self.requests):
            self.requests[command] += 1
        else:
            self.unknown_requests += 1

    def on_error(self, error: Errno) -> None:
        """Count one reply that carries an error."""
        self.errors[error] += 1

    def requests_total(self) -> dict[str, int]:
        """Return the requests by the names of their commands."""
        return {**super().requests_total(), "UNKNOWN": self.unknown_requests}
