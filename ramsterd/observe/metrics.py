"""Prometheus metrics: one collector over one snapshot.  `metrics_server` serves them.

`docs/metrics.md` lists them.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ramsterd.observe.address_metrics import address_metrics
from ramsterd.observe.asking_metrics import asking_metrics
from ramsterd.observe.daemon_metrics import daemon_metrics
from ramsterd.observe.endpoint_metrics import endpoint_metrics
from ramsterd.observe.frontend_metrics import frontend_metrics
from ramsterd.observe.health_metrics import health_metrics
from ramsterd.observe.heartbeat_metrics import heartbeat_metrics
from ramsterd.observe.job_metrics import job_metrics
from ramsterd.observe.kept_metrics import kept_metrics
from ramsterd.observe.memory_metrics import memory_metrics
from ramsterd.observe.node_metrics import node_metrics
from ramsterd.observe.protection_metrics import protection_metrics
from ramsterd.observe.remote_metrics import remote_metrics
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.observe.start_metrics import start_metrics

# What a scrape may have of series: of the node itself, for each other node, and for each export.
# Prometheus keeps a few KiB for each of all nodes: 65 nodes have 200,000 of them, which a small
# server holds.  A label for clients, pools or pages would have no bound, and a histogram for each
# peer would be more than all else of that peer.
SERIES_MAX: Final = 652
NODE_SERIES_MAX: Final = 40
EXPORT_SERIES_MAX: Final = 4


class RamsterCollector(Collector):
    """Turns a snapshot into metric families."""

    def __init__(self, statistics: Callable[[], DaemonStatistics]) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family of one snapshot."""
        now = self._statistics()
        yield from health_metrics(now.health)
        yield from job_metrics(now.jobs)
        yield from memory_metrics(now)
        yield from remote_metrics(now)
        yield from node_metrics(now)
        yield from address_metrics(now.addresses)
        yield from frontend_metrics(now)
        yield from endpoint_metrics(now)
        yield from daemon_metrics(now)
        yield from asking_metrics(now.asking)
        yield from start_metrics(now.incarnation_floors, now.pauses, now.handover)
        yield from protection_metrics(now.protection)
        yield from kept_metrics(now.memory, now.engine.scrub)
        if now.heartbeat is not None:
            yield from heartbeat_metrics(now.heartbeat)
