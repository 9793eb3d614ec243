"""The counters of a front end and its clients: plain ints, read as one snapshot.  Pure."""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ramsterd.frontends.clients.latency import RequestLatency, RequestLatencyStatistics

EndT = TypeVar("EndT", bound=enum.Enum)
ErrorT = TypeVar("ErrorT", bound=enum.IntEnum)
StatisticsT = TypeVar("StatisticsT", bound="ClientStatistics")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics:
    """One snapshot; ends, requests and errors by the names that the protocol gives them."""

    connections: int
    accepted_connections_total: int
    refused_connections_total: int
    ended_connections_total: dict[str, int]
    requests_total: dict[str, int]
    errors_total: dict[str, int]
    received_bytes_total: int
    sent_bytes_total: int
    requests_in_flight: int
    request_latency: RequestLatencyStatistics


class Counters(Generic[EndT, ErrorT]):
    """The counters of one front end; all its connections share them."""

    __slots__ = (
        "_commands",
        "accepted_connections_total",
        "connections",
        "ended",
        "errors",
        "in_flight_count",
        "latency",
        "received_bytes",
        "requests",
        "sent_bytes",
    )

    def __init__(
        self,
        ends: Iterable[EndT],
        commands: Sequence[enum.IntEnum],
        errors: Iterable[ErrorT],
    ) -> None:
        """Wire it.

        Args:
            ends: Why a connection may end.
            commands: What a client may ask for.
            errors: What a reply may say instead of an answer; 0 is none.
        """
        self._commands = commands
        self.connections = 0
        self.accepted_connections_total = 0
        self.ended = dict.fromkeys(ends, 0)
        # By command: a list, for the hot path counts here.
        self.requests = [0] * (max(commands) + 1)
        self.errors = dict.fromkeys(errors, 0)
        self.received_bytes = 0
        self.sent_bytes = 0
        self.in_flight_count = 0
        self.latency = RequestLatency()

    def requests_total(self) -> dict[str, int]:
        """Return the requests by the names of their commands."""
        return {command.name: self.requests[command] for command in self._commands}

    def snapshot(
        self, kind: Callable[..., StatisticsT], *, connections_refused: int, **more: object
    ) -> StatisticsT:
        """Return all counters as they are now.

        Args:
            kind: The statistics of this front end.
            connections_refused: What the server counts of those it turned away.
            more: Fields that are this front end's alone.
        """
        return kind(
            connections=self.connections,
            accepted_connections_total=self.accepted_connections_total,
            refused_connections_total=connections_refused,
            ended_connections_total={end.name: count for end, count in self.ended.items()},
            requests_total=self.requests_total(),
            errors_total={error.name: count for error, count in self.errors.items() if error},
            received_bytes_total=self.received_bytes,
            sent_bytes_total=self.sent_bytes,
            requests_in_flight=self.in_flight_count,
            request_latency=self.latency.statistics(),
            **more,
        )
