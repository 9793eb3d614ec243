"""What endpoints and descriptors count, as one snapshot each.  Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptorStatistics:
    """How near the limit on file descriptors is."""

    limit: int
    # Kept for links and control.
    reserved: int
    # Front ends refuse clients once this one is reserved.
    lowest_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatistics:
    """The connections of the control socket, or of the metrics port."""

    connections: int
    accepted_connections_total: int
    # Closed to make room for a newer one.
    displaced_connections_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsStatistics:
    """The metrics port."""

    endpoint: EndpointStatistics
    # By HTTP status.
    answers_total: dict[str, int]
    # Of the status page.
    viewers: int = 0
