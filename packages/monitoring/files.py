"""All files that watch a cluster, by their place in the repository."""

from typing import Final

from packages.monitoring.grafana import dashboard
from packages.monitoring.health_alerts import health_alerts
from packages.monitoring.other_alerts import OTHER_ALERTS
from packages.monitoring.recordings import RECORDINGS
from packages.monitoring.rules import JOB, MADE_BY, Group, rules_file

RULES_NAME: Final = "ramster.rules.yml"
GROUPS: Final = (
    Group(name="ramster-recordings", rules=RECORDINGS),
    Group(name="ramster-health", rules=health_alerts()),
    Group(name="ramster-others", rules=OTHER_ALERTS),
)
_SCRAPE: Final = f"""\
{MADE_BY}#
# An example of /etc/prometheus/prometheus.yml: take over what yours does not have.
global:
  # At 5 s an alert is pending at most ten seconds after health has its code.  A scrape takes a
  # node a few milliseconds, and it makes the text anew once a second at most.
  scrape_interval: 5s
  evaluation_interval: 5s

rule_files:
  - {RULES_NAME}

# alerting:
#   alertmanagers:
#     - static_configs:
#         - targets: ["192.0.2.5:9093"]

scrape_configs:
  - job_name: {JOB}
    # One for each node, with [metrics] listen of its ramsterd.toml.  `instance` is the name of the
    # node, and `cluster` that of its cluster: alerts and the dashboard show both.
    static_configs:
      - targets: ["192.0.2.11:9750"]
        labels: {{ cluster: rack7, instance: alpha }}
      - targets: ["192.0.2.12:9750"]
        labels: {{ cluster: rack7, instance: beta }}
      - targets: ["192.0.2.13:9750"]
        labels: {{ cluster: rack7, instance: gamma }}
"""


def files() -> dict[str, str]:
    """Return the text of each file."""
    return {
        "config/prometheus/prometheus.yml": _SCRAPE,
        f"config/prometheus/{RULES_NAME}": rules_file(GROUPS),
        "config/grafana/ramster.json": dashboard(),
    }
