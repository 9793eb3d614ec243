"""Series that the alerts and the dashboard share: latencies as quantiles, rates, and how full memory is.

Their names are `level:metric:operation`, as Prometheus recommends; what is recorded is of each
node, unless it begins with `cluster:`.
"""

from typing import Final

from packages.monitoring.rules import Recording

# A node, as a scraper labels it.  A label that a configuration does not give is empty, and does no
# harm.
NODE_LABELS: Final = "job, cluster, instance"


def _quantile(quantile: str, metric: str, labels: str, window: str, matcher: str = "") -> str:
    return (
        f"histogram_quantile({quantile},\n"
        f"  sum by ({NODE_LABELS}, {labels}, le) (rate({metric}_bucket{matcher}[{window}]))\n"
        ")"
    )


def _latency(operation: str, quantile: int, window: str) -> Recording:
    return Recording(
        name=f"ramster:{operation}_latency_seconds:p{quantile}_rate{window}",
        expr=_quantile(
            f"0.{quantile}",
            "ramster_request_latency_seconds",
            "tier",
            window,
            f'{{operation="{operation}"}}',
        ),
    )


RECORDINGS: Final = (
    _latency("read", 50, "5m"),
    _latency("read", 99, "5m"),
    _latency("read", 99, "1h"),
    _latency("write", 50, "5m"),
    _latency("write", 99, "5m"),
    Recording(
        name="ramster:round_trip_seconds:p99_rate5m",
        expr=_quantile("0.99", "ramster_round_trip_seconds", "request", "5m"),
    ),
    Recording(
        name="ramster:loop_stall_seconds:p99_rate5m",
        expr=(
            "histogram_quantile(0.99,\n"
            f"  sum by ({NODE_LABELS}, le) (rate(ramster_loop_stall_seconds_bucket[5m]))\n"
            ")"
        ),
    ),
    Recording(
        name="ramster:memory_used:ratio",
        expr="(ramster_resident_bytes - ramster_warm_bytes) / ramster_budget_bytes",
    ),
    Recording(
        name="ramster:get_pages:rate5m",
        expr=f"sum by ({NODE_LABELS}, place) (rate(ramster_get_pages_total[5m]))",
    ),
    Recording(
        name="ramster:put_pages:rate5m",
        expr=f"sum by ({NODE_LABELS}) (rate(ramster_put_pages_total[5m]))",
    ),
    Recording(
        name="ramster:link_bytes:rate5m",
        expr=f"sum by ({NODE_LABELS}, direction) (rate(ramster_link_bytes_total[5m]))",
    ),
    Recording(
        name="cluster:ramster_health_failure_tolerance_nodes:min",
        expr="min by (job, cluster) (ramster_health_failure_tolerance_nodes)",
    ),
)  # fmt: skip
