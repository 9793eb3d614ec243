"""The metrics port where the config has one.

Only then the library that writes metrics is imported: it takes as long as a tenth of all else that
a daemon imports.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from config.endpoint import split_endpoint
from ramsterd.observe.overview import overview_of
from ramsterd.observe.snapshot import DaemonStatistics

if TYPE_CHECKING:
    from ramsterd.observe.metrics_server import MetricsServer


def new_metrics_server(
    listen: str, statistics: Callable[[], DaemonStatistics], wall_clock: Callable[[], float]
) -> "MetricsServer | None":
    """Return what serves the metrics at an endpoint, or None: the config names no endpoint."""
    if not listen:
        return None
    from ramsterd.observe.exposition import Exposition  # noqa: PLC0415  see above
    from ramsterd.observe.live_feed import LiveFeed  # noqa: PLC0415
    from ramsterd.observe.metrics import RamsterCollector  # noqa: PLC0415
    from ramsterd.observe.metrics_server import MetricsServer  # noqa: PLC0415

    exposition = Exposition(RamsterCollector(statistics).collect)
    feed = LiveFeed(lambda: overview_of(statistics(), at=wall_clock()))
    return MetricsServer(*split_endpoint(listen), exposition, feed)
