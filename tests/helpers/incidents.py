"""What is said of five incidents, and where: the system tests see it happen, and docs/incidents.md says the same."""

from dataclasses import dataclass
from typing import Final

from config.event_kinds import EventKind
from packages.monitoring.health_alerts import name_of
from packages.monitoring.rules import CRITICAL, WARNING
from ramsterd.health.codes import Code, Severity

PENDING: Final = "pending"
FIRING: Final = "firing"
# From the incident to the last of the four places.
SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Said:
    """What health, the events, the alert and the page say of one incident."""

    # Of docs/incidents.md.
    heading: str
    code: Code
    severity: Severity
    # What health, the event and the page say to type.
    command: str
    # What the alert says to type, which does not know names, sizes and paths.
    alert_command: str
    # Beside `health_changed`.
    kinds: tuple[EventKind, ...]
    # In which state the alert is by then: it fires at once where waiting heals nothing.
    alert_state: str
    # Alerts that do not follow from a code.
    more_alerts: tuple[str, ...] = ()

    @property
    def alert(self) -> str:
        """Return the name of the alert."""
        return name_of(self.code)

    @property
    def alert_severity(self) -> str:
        """Return the severity of the alert."""
        return CRITICAL if self.severity is Severity.ERR else WARNING


NODE_DIES: Final = Said(
    heading="A node dies",
    code=Code.NODE_DOWN,
    severity=Severity.WARN,
    command="on node n3: systemctl start ramsterd",
    alert_command="ramsterctl health",
    kinds=(EventKind.LINK_LOST, EventKind.NODE_SUSPECT, EventKind.NODE_DOWN),
    alert_state=PENDING,
    more_alerts=("RamsterNoMetrics",),
)
DISK_FILLS: Final = Said(
    heading="A disk fills under cluster.toml",
    code=Code.UNWRITTEN,
    severity=Severity.WARN,
    command="df /etc/ramster/cluster.toml",
    alert_command="ramsterctl health",
    kinds=(EventKind.MEMBERS_UNWRITABLE,),
    alert_state=FIRING,
)
# The same, after a change of the members that could not be written.
CHANGE_UNWRITTEN: Final = "ramsterctl config reload"
CERTIFICATE_ENDS_SOON: Final = Said(
    heading="A certificate ends",
    code=Code.CERT_EXPIRING,
    severity=Severity.WARN,
    command="where the CA is: ramsterctl cluster renew --from DIR --out renewed",
    alert_command="ramsterctl cluster renew --from DIR --out renewed",
    kinds=(EventKind.CERTIFICATE_EXPIRING,),
    alert_state=PENDING,
)
CERTIFICATE_ENDS: Final = Said(
    heading="A certificate ends",
    code=Code.CERT_EXPIRED,
    severity=Severity.ERR,
    command="where the CA is: ramsterctl cluster renew --from DIR --out renewed",
    alert_command="ramsterctl cluster renew --from DIR --out renewed",
    kinds=(EventKind.CERTIFICATE_EXPIRED,),
    alert_state=FIRING,
)
NODE_STARVES: Final = Said(
    heading="A node starves",
    code=Code.STARVED,
    severity=Severity.WARN,
    command="top",
    alert_command="top",
    kinds=(EventKind.DAEMON_PAUSED,),
    alert_state=PENDING,
)
CLUSTER_FILLS_UP: Final = Said(
    heading="The cluster fills up",
    code=Code.MEMORY_FULL,
    severity=Severity.ERR,
    command="ramsterctl memory set --budget 5MiB",
    alert_command="ramsterctl memory set --budget SIZE",
    kinds=(EventKind.WRITES_REFUSED,),
    alert_state=FIRING,
)
INCIDENTS: Final = (
    NODE_DIES, DISK_FILLS, CERTIFICATE_ENDS_SOON, CERTIFICATE_ENDS, NODE_STARVES, CLUSTER_FILLS_UP,
)  # fmt: skip
