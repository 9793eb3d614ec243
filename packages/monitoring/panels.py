"""What the dashboard shows, as values: panels with their queries.

`grafana.py` writes it for Grafana, and `benchmarks/monitoring_plot.py` draws the same panels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Which nodes are shown: variables of the dashboard.
NODES: Final = 'job="ramster", cluster=~"$cluster", instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus; `legend` has labels in double braces."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture; `unit` is Grafana's word for it."""

    title: str
    text: str
    unit: str
    queries: Sequence[Query]
    # One large number, and not a curve.
    is_number: bool = False
    # From this value on a number is red.
    bad_from: float | None = None
    # Below this value a number is red.
    bad_below: float | None = None
    # Whether curves lie on top of each other.
    is_stacked: bool = False


def _of_nodes(metric: str) -> str:
    return f"{metric}{{{NODES}}}"


NUMBERS: Final = (
    Panel(
        title="Nodes without metrics",
        text="Targets of Prometheus that did not answer the last scrape.",
        unit="none",
        queries=[Query(f"count({_of_nodes('up')} == 0) or vector(0)", "")],
        is_number=True,
        bad_from=1,
    ),
    Panel(
        title="Failure tolerance",
        text="How many nodes may end at once without a page being lost: the smallest of all nodes.",
        unit="none",
        queries=[
            Query(
                'min(cluster:ramster_health_failure_tolerance_nodes:min{cluster=~"$cluster"})', ""
            )
        ],
        is_number=True,
        bad_below=1,
    ),
    Panel(
        title="Errors of health",
        text="Codes of `ramsterctl health` that are errors, on all nodes, muted ones included.",
        unit="none",
        queries=[Query(f'sum(ramster_health{{{NODES}, severity="err"}})', "")],
        is_number=True,
        bad_from=1,
    ),
    Panel(
        title="Pages at risk",
        text="Pages at peers with fewer copies than asked.",
        unit="short",
        queries=[Query(f"sum({_of_nodes('ramster_pages_at_risk')})", "")],
        is_number=True,
        bad_from=1,
    ),
    Panel(
        title="Pages that can't be read",
        text="Lost pages: reads of them fail.",
        unit="short",
        queries=[Query(f"sum({_of_nodes('ramster_export_unreadable_pages')}) or vector(0)", "")],
        is_number=True,
        bad_from=1,
    ),
    Panel(
        title="Fullest memory",
        text="Of all nodes, how much of its budget the fullest one uses.",
        unit="percentunit",
        queries=[Query(f"max({_of_nodes('ramster:memory_used:ratio')})", "")],
        is_number=True,
    ),
)

CURVES: Final = (
    Panel(
        title="Health",
        text="Codes of `ramsterctl health` that hold. Each is a heading of docs/health.md.",
        unit="none",
        queries=[
            Query(f"{_of_nodes('ramster_health')} == 1", "{{instance}} {{code}} {{severity}}")
        ],
        is_stacked=True,
    ),
    Panel(
        title="Memory, of its budget",
        text="Compressed pages in the memory of each node, as a part of its budget.",
        unit="percentunit",
        queries=[Query(_of_nodes("ramster:memory_used:ratio"), "{{instance}}")],
    ),
    Panel(
        title="Memory by kind",
        text="Compressed pages by whose they are: own ones, and foreign ones of peers.",
        unit="bytes",
        queries=[
            Query(
                f"sum by (place, kind) ({_of_nodes('ramster_zpage_bytes')})", "{{place}} {{kind}}"
            )
        ],
        is_stacked=True,
    ),
    Panel(
        title="Reads and writes",
        text="Pages each second: reads by where the page was, and writes.",
        unit="ops",
        queries=[
            Query(f"sum by (place) ({_of_nodes('ramster:get_pages:rate5m')})", "read {{place}}"),
            Query(f"sum({_of_nodes('ramster:put_pages:rate5m')})", "written"),
        ],
    ),
    Panel(
        title="Latency of reads",
        text="99 of 100 reads took no longer, and 50 of 100: from this node's memory (local), or with a peer.",
        unit="s",
        queries=[
            Query(
                _of_nodes("ramster:read_latency_seconds:p99_rate5m"), "{{instance}} {{tier}} p99"
            ),
            Query(
                _of_nodes("ramster:read_latency_seconds:p50_rate5m"), "{{instance}} {{tier}} p50"
            ),
        ],
    ),
    Panel(
        title="Latency of writes",
        text="The same of writes; with a peer: the write waited for room.",
        unit="s",
        queries=[
            Query(
                _of_nodes("ramster:write_latency_seconds:p99_rate5m"), "{{instance}} {{tier}} p99"
            ),
            Query(
                _of_nodes("ramster:write_latency_seconds:p50_rate5m"), "{{instance}} {{tier}} p50"
            ),
        ],
    ),
    Panel(
        title="Round trip between nodes",
        text="From a request to a peer until its answer: 99 of 100 of a node, and the mean of each pair.",
        unit="s",
        queries=[
            Query(
                _of_nodes("ramster:round_trip_seconds:p99_rate5m"), "{{instance}} {{request}} p99"
            ),
            Query(
                _of_nodes("ramster_round_trip_node_mean_seconds"), "{{instance}} to {{node}} mean"
            ),
        ],
    ),
    Panel(
        title="Links",
        text="Bytes each second on all links of a node.",
        unit="Bps",
        queries=[Query(_of_nodes("ramster:link_bytes:rate5m"), "{{instance}} {{direction}}")],
    ),
    Panel(
        title="Event loop",
        text="99 of 100 rounds of the event loop took no longer. Nobody is served meanwhile.",
        unit="s",
        queries=[Query(_of_nodes("ramster:loop_stall_seconds:p99_rate5m"), "{{instance}} p99")],
    ),
    Panel(
        title="Pages at peers",
        text="Pages of a node that its peers hold.",
        unit="short",
        queries=[
            Query(
                f"sum by (instance) ({_of_nodes('ramster_remote_pages')})", "{{instance}} at peers"
            )
        ],
    ),
    Panel(
        title="Clients",
        text="Reads and writes that wait, and connections.",
        unit="none",
        queries=[
            Query(f"sum({_of_nodes('ramster_waiting_gets')})", "reads that wait for a peer"),
            Query(f"sum({_of_nodes('ramster_waiting_puts')})", "writes that wait for room"),
            Query(f"sum({_of_nodes('ramster_nbd_connections')})", "NBD connections"),
            Query(f"sum({_of_nodes('ramster_tmem_connections')})", "tmem connections"),
        ],
    ),
    Panel(
        title="Pages at risk, and lost",
        text="Pages with fewer copies than asked, and pages whose last copy is gone.",
        unit="short",
        queries=[
            Query(_of_nodes("ramster_pages_at_risk"), "{{instance}} at risk"),
            Query(_of_nodes("ramster_lost_pages_total"), "{{instance}} lost"),
        ],
    ),
)
