"""Stories for `promtool test rules`: what the metrics were, and which alerts there are then.

Each alert has one that fires and one that is quiet.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from packages.monitoring.files import GROUPS
from packages.monitoring.rules import CRITICAL, Alert
from ramsterd.health.codes import RULES

ALPHA: Final = {"job": "ramster", "cluster": "rack7", "instance": "alpha"}
BETA: Final = {**ALPHA, "instance": "beta"}
GAMMA: Final = {**ALPHA, "instance": "gamma"}
# Seconds between two samples, and from the first one until something goes wrong.
STEP_SECONDS: Final = 30
ONSET_SECONDS: Final = 120
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ALERTS: Final = [rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert)]


@dataclass(frozen=True)
class Fires:
    """An alert as it is expected; `value` stands for `{{ $value … }}` in its text."""

    labels: dict[str, str]
    value: str = ""


@dataclass(frozen=True)
class Story:
    """Series by their text, the values that they had, and what fires after so many seconds."""

    series: dict[str, str]
    at_seconds: int
    fires: list[Fires] = field(default_factory=list)


def seconds_of(text: str) -> int:
    """Return a duration of Prometheus in seconds."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    assert match is not None, text
    return int(match[1]) * _UNITS[match[2]]


def series(name: str, **labels: str) -> str:
    """Return a series as PromQL writes it."""
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def holds(value: float) -> str:
    """Return values that stay what they are for two hours."""
    return f"{value}x{7200 // STEP_SECONDS}"


def begins(before: float, after: float) -> str:
    """Return values that change at the onset."""
    return f"{before}x{ONSET_SECONDS // STEP_SECONDS - 1} {holds(after)}"


def rises(step: float) -> str:
    """Return a counter that goes on for two hours."""
    return f"0+{step}x{7200 // STEP_SECONDS}"


def stories(alert: Alert) -> Iterator[Story]:
    """Yield those of one alert."""
    after = ONSET_SECONDS + seconds_of(alert.holds)
    if alert.heading in {code.value for code in RULES}:
        yield from _of_health(alert, after)
    else:
        yield from _OTHERS[alert.name](after)


def _of_health(alert: Alert, after: int) -> Iterator[Story]:
    code, severity = alert.heading, "err" if alert.severity == CRITICAL else "warn"

    def told(muted: str, health: str) -> dict[str, str]:
        return {
            series("ramster_health", **ALPHA, code=code, severity=severity): health,
            series("ramster_health", **BETA, code=code, severity=severity): holds(0),
            series("ramster_health_muted", **ALPHA, code=code): muted,
            series("ramster_health_muted", **BETA, code=code): holds(0),
        }

    fires = Fires({**ALPHA, "code": code, "severity": alert.severity})
    yield Story(told(holds(0), begins(0, 1)), after, [fires])
    yield Story(told(holds(0), begins(0, 1)), after - 2 * STEP_SECONDS)
    yield Story(told(holds(1), begins(0, 1)), after)
    yield Story(told(holds(0), holds(0)), after)


def _no_metrics(after: int) -> Iterator[Story]:
    gone = {series("up", **ALPHA): begins(1, 0), series("up", **BETA): holds(1)}
    others = {series("up", job="node", instance="alpha"): holds(0)}
    yield Story({**gone, **others}, after, [Fires({**ALPHA, "severity": "critical"})])
    yield Story(gone, after - 2 * STEP_SECONDS)


def _not_scraped(after: int) -> Iterator[Story]:
    def members(*scraped: dict[str, str]) -> dict[str, str]:
        seen = {series("ramster_node_up", **ALPHA, node="beta"): holds(1)}
        seen[series("ramster_node_up", **ALPHA, node="gamma")] = holds(0)
        for each in scraped:
            seen[series("ramster_info", **each, node=each["instance"], version="1")] = holds(1)
        return seen

    labels = {"job": "ramster", "cluster": "rack7", "node": "gamma", "severity": "warning"}
    yield Story(members(ALPHA, BETA), after, [Fires(labels)])
    yield Story(members(ALPHA, BETA, GAMMA), after)
    # One that is down was scraped before.
    gone = {series("ramster_info", **GAMMA, node="gamma", version="1"): "1x4 stale"}
    yield Story({**members(ALPHA, BETA), **gone}, after)


def _stale(after: int) -> Iterator[Story]:
    same = {series("ramster_uptime_seconds", **ALPHA): holds(1000)}
    fresh = {series("ramster_uptime_seconds", **BETA): rises(STEP_SECONDS)}
    yield Story({**same, **fresh}, after + 300, [Fires({**ALPHA, "severity": "warning"})])
    yield Story(fresh, after + 300)
    # Of a node that is gone no metrics are left.
    yield Story({series("ramster_uptime_seconds", **ALPHA): f"0+{STEP_SECONDS}x3 stale"}, after)


def _clock(after: int) -> Iterator[Story]:
    # promtool begins at 0 seconds since 1970.
    wrong = {series("ramster_clock_seconds", **ALPHA): f"-10+{STEP_SECONDS}x200"}
    right = {series("ramster_clock_seconds", **BETA): f"2+{STEP_SECONDS}x200"}
    fires = Fires({**ALPHA, "severity": "warning"}, value="10s")
    yield Story({**wrong, **right}, after, [fires])
    yield Story(right, after)


def _restarts(after: int) -> Iterator[Story]:
    run = f"0+{STEP_SECONDS}x3"
    often = {series("ramster_uptime_seconds", **ALPHA): f"{run} {run} {run} {run}"}
    once = {series("ramster_uptime_seconds", **BETA): f"{run} {run} {run}"}
    fires = Fires({**ALPHA, "severity": "warning"}, value="3")
    yield Story({**often, **once}, after + 300, [fires])
    yield Story(once, after + 300)


def _reload(after: int) -> Iterator[Story]:
    failed = {series("ramster_last_reload_successful", **ALPHA): begins(1, 0)}
    done = {series("ramster_last_reload_successful", **BETA): holds(1)}
    yield Story({**failed, **done}, after, [Fires({**ALPHA, "severity": "warning"})])
    yield Story(failed, after - 2 * STEP_SECONDS)
    yield Story(done, after)


def _observer(after: int) -> Iterator[Story]:
    def faults(count: int) -> dict[str, str]:
        return {
            series("ramster_observer_faults_total", **ALPHA, observer="health"): begins(0, count),
            series("ramster_observer_faults_total", **ALPHA, observer="jobs"): holds(0),
        }

    fires = Fires({**ALPHA, "observer": "health", "severity": "warning"})
    yield Story(faults(1), after + STEP_SECONDS, [fires])
    yield Story(faults(0), after + STEP_SECONDS)


def _reads(tier: str, bound: float) -> Any:
    def told(after: int) -> Iterator[Story]:
        def reads(fast: int, slow: int) -> dict[str, str]:
            """Return so many reads in each step, as fast as the bound, and ten times as slow."""
            bounds = {str(bound): fast, str(10 * bound): fast + slow, "+Inf": fast + slow}
            return {
                series(
                    "ramster_request_latency_seconds_bucket", **ALPHA,
                    frontend="nbd", operation="read", tier=tier, le=le,
                ): rises(count)
                for le, count in bounds.items()
            }  # fmt: skip

        fires = Fires({**ALPHA, "tier": tier, "severity": "warning"})
        yield Story(reads(900, 100), after, [fires])
        yield Story(reads(995, 5), after)
        writes = {
            each.replace('"read"', '"write"'): values for each, values in reads(0, 100).items()
        }
        yield Story(writes, after)

    return told


_OTHERS: Final = {
    "RamsterNoMetrics": _no_metrics,
    "RamsterNotScraped": _not_scraped,
    "RamsterMetricsStale": _stale,
    "RamsterClockWrong": _clock,
    "RamsterRestarts": _restarts,
    "RamsterReloadFailed": _reload,
    "RamsterObserverFailed": _observer,
    "RamsterLocalReadsSlow": _reads("local", 0.01),
    "RamsterPeerReadsSlow": _reads("peer", 0.1),
}


def rule_test(alert: Alert, story: Story) -> dict[str, Any]:
    """Return a story as promtool takes it: it compares all labels and all annotations."""
    expected = [
        {
            "exp_labels": fires.labels,
            "exp_annotations": {
                "summary": rendered(alert.summary, fires),
                "description": rendered(alert.description, fires),
                "runbook_url": alert.runbook,
            },
        }
        for fires in story.fires
        if fires.labels["severity"] == alert.severity
    ]
    return {
        "interval": f"{STEP_SECONDS}s",
        "input_series": [
            {"series": each, "values": values} for each, values in story.series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{story.at_seconds}s",
                "alertname": alert.name,
                "exp_alerts": expected,
            }
        ],
    }


def rendered(text: str, fires: Fires) -> str:
    """Return a text with what Prometheus puts in the place of its braces."""
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: fires.labels[match[1]], text)
    return re.sub(r"{{ \$value[^}]*}}", fires.value, text)
