"""Alerts on what a daemon can't say of itself, because it is gone, late, new, or one of several."""

from typing import Final

from packages.monitoring.health_alerts import NODE, ON_NODE
from packages.monitoring.rules import CRITICAL, JOB, WARNING, Alert

# What 99 of 100 reads keep below, by tier.  From memory they take tens of microseconds, and
# milliseconds where clients ask for much at once; from a peer on the same network a millisecond.
# Ten times of that is felt by programs that swap.
READ_SECONDS: Final = {"local": 0.01, "peer": 0.1}
# Clocks of machines that are kept by NTP differ by milliseconds.
CLOCK_SECONDS: Final = 5
# Starts within a quarter of an hour that are no upgrade any more.
STARTS: Final = 3


def _reads_slow(tier: str, summary: str, worse: str, command: str) -> Alert:
    seconds, name = READ_SECONDS[tier], f"Ramster{tier.capitalize()}ReadsSlow"
    return Alert(
        name=name,
        # The short window says that it is so now, the long one that it is no moment's trouble.
        expr=(
            f'ramster:read_latency_seconds:p99_rate5m{{tier="{tier}"}} > {seconds}\n'
            "and\n"
            f'ramster:read_latency_seconds:p99_rate1h{{tier="{tier}"}} > {seconds}'
        ),
        holds="5m",
        severity=WARNING,
        summary=summary,
        worse=worse,
        where=ON_NODE,
        command=command,
        heading=name,
    )


OTHER_ALERTS: Final = (
    Alert(
        name="RamsterNoMetrics",
        expr=f'up{{job="{JOB}"}} == 0',
        holds="1m",
        severity=CRITICAL,
        summary=f"Node {NODE} has no metrics: ramsterd does not run there, or can't be reached.",
        worse="If ramsterd is gone, its clients wait, and no other node can say so.",
        where=ON_NODE,
        command="systemctl status ramsterd",
        heading="RamsterNoMetrics",
    ),
    Alert(
        name="RamsterNotScraped",
        expr=(
            "group by (job, cluster, node) (ramster_node_up)\n"
            "unless on (job, cluster, node)\n"
            "last_over_time(ramster_info[1d])"
        ),
        holds="15m",
        severity=WARNING,
        summary="Node {{ $labels.node }} is a member, and Prometheus has no metrics of it.",
        worse="No alert can say what is wrong on that node. Add it to the targets of Prometheus, or remove it if it is gone for ever.",
        where="On a node of the cluster",
        command="ramsterctl nodes",
        heading="RamsterNotScraped",
    ),
    Alert(
        name="RamsterMetricsStale",
        expr="changes(ramster_uptime_seconds[5m]) == 0",
        holds="5m",
        severity=WARNING,
        summary=f"The metrics of node {NODE} do not change: something between here and there repeats old ones.",
        worse="Alerts are judged from what was true earlier.",
        where=ON_NODE,
        command="ramsterctl health",
        heading="RamsterMetricsStale",
    ),
    Alert(
        name="RamsterClockWrong",
        expr=f"abs(ramster_clock_seconds - timestamp(ramster_clock_seconds)) > {CLOCK_SECONDS}",
        holds="5m",
        severity=WARNING,
        summary=f"The clock of node {NODE} is wrong by {{{{ $value | humanizeDuration }}}}.",
        worse="Certificates begin and end at wrong times, and logs of nodes can't be compared.",
        where=ON_NODE,
        command="timedatectl timesync-status",
        heading="RamsterClockWrong",
    ),
    Alert(
        name="RamsterRestarts",
        expr=f"resets(ramster_uptime_seconds[15m]) >= {STARTS}",
        holds="0s",
        severity=WARNING,
        summary=f"ramsterd on node {NODE} was started {{{{ $value }}}} times within 15 minutes.",
        worse="Clients wait at each start, and after 3 starts without an end of the checks kept pages are given up.",
        where=ON_NODE,
        command="journalctl --unit ramsterd --since -15min",
        heading="RamsterRestarts",
    ),
    Alert(
        name="RamsterReloadFailed",
        expr="ramster_last_reload_successful == 0",
        holds="15m",
        severity=WARNING,
        summary=f"Node {NODE} did not take its changed files: one of them has a mistake.",
        worse="The daemon goes on with what it had, and does not start with these files.",
        where=ON_NODE,
        command="ramsterctl config reload",
        heading="RamsterReloadFailed",
    ),
    Alert(
        name="RamsterObserverFailed",
        expr="increase(ramster_observer_faults_total[1h]) > 0",
        holds="0s",
        severity=WARNING,
        summary=f"A defect of ramsterd on node {NODE} ended its look at {{{{ $labels.observer }}}}.",
        worse="Pages are served as before, but nobody may be told what that look would find.",
        where=ON_NODE,
        command="journalctl --unit ramsterd --since -1h",
        heading="RamsterObserverFailed",
    ),
    _reads_slow(
        "local",
        f"One of 100 reads from the memory of node {NODE} takes more than {READ_SECONDS['local'] * 1000:.0f} ms.",
        "Programs wait for the daemon, which has too little processor, or too many clients.",
        "top",
    ),
    _reads_slow(
        "peer",
        f"One of 100 reads of node {NODE} from its peers takes more than {READ_SECONDS['peer'] * 1000:.0f} ms.",
        "Programs wait for the network, or for a peer that is slow.",
        "ramsterctl nodes",
    ),
)  # fmt: skip
