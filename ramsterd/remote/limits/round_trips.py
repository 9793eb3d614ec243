"""How long peers take to answer: one histogram for each kind of request, and a mean for each peer.

The shape of the whole is what percentiles are read from; which peer is slow, the means say.  A
histogram for each peer would be forty series for each, of every node.
"""

from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.host.latency import Latency, LatencyStatistics

# As TCP smooths its round trip (RFC 6298, section 2).
_MEAN_WEIGHT: Final = 1 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTripStatistics:
    """From a request to its answer, in seconds.

    Means are of peers that have answered since the start.
    """

    get: LatencyStatistics
    put: LatencyStatistics
    node_mean_seconds: dict[NodeId, float]


class RoundTrips:
    """See the module's text; one call for each answer, whatever it has of pages."""

    def __init__(self) -> None:
        self._get, self._put = Latency(), Latency()
        self._means: dict[NodeId, float] = {}

    def on_get(self, node: NodeId, seconds: float) -> None:
        """A peer answered a request for pages."""
        self._get.add(seconds)
        self._smooth(node, seconds)

    def on_put(self, node: NodeId, seconds: float) -> None:
        """A peer answered a request to store pages."""
        self._put.add(seconds)
        self._smooth(node, seconds)

    def _smooth(self, node: NodeId, seconds: float) -> None:
        mean = self._means.get(node, seconds)
        self._means[node] = mean + _MEAN_WEIGHT * (seconds - mean)

    def statistics(self) -> RoundTripStatistics:
        """Return a snapshot."""
        return RoundTripStatistics(
            get=self._get.statistics(),
            put=self._put.statistics(),
            node_mean_seconds=dict(self._means),
        )
