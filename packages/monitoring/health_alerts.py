"""One alert for each code of `ramsterctl health`, and for each severity that it can have.

Code, heading of docs/health.md and alert are one thing: the daemon judges, and the alert only says
how long that must hold before it calls somebody.  A code that is muted calls nobody.  Health waits
a few seconds itself before a code appears (`ramsterd.health.codes`), so an error need not hold any
longer, unless a restart with the pages kept brings it; a warning holds for as long as what heals by
itself takes.
"""

from dataclasses import dataclass
from typing import Final

from packages.monitoring.rules import CRITICAL, WARNING, Alert
from ramsterd.health.codes import RULES, Code, Severity

NODE: Final = "{{ $labels.instance }}"
ON_NODE: Final = f"On node {NODE}"
AT_CA: Final = "Where the CA is,"
_RENEW: Final = "ramsterctl cluster renew --from DIR --out renewed"
_SEVERITIES: Final = {Severity.WARN: WARNING, Severity.ERR: CRITICAL}


@dataclass(frozen=True, slots=True)
class Words:
    """What an alert says of a code, and the `command` that is typed `where`."""

    holds: str
    summary: str
    worse: str
    command: str
    where: str = ON_NODE


WORDS: Final = {
    (Code.PAGES_LOST, Severity.ERR): Words(
        "0s",
        f"Pages of node {NODE} are lost.",
        "Reads of these pages fail until they are written or discarded.",
        "ramsterctl verify --invariants",
    ),
    (Code.EXPORT_LOST, Severity.ERR): Words(
        "0s",
        f"An export or a pool of node {NODE} is lost: its pages ended with an earlier run.",
        "Its clients are refused, so that none takes zeros for its data.",
        "ramsterctl export reset NAME",
    ),
    (Code.MEMORY_FULL, Severity.ERR): Words(
        "0s",
        f"Writes on node {NODE} find no room.",
        "Writes fail with ENOSPC; what was written before stays readable.",
        "ramsterctl memory set --budget SIZE",
    ),
    (Code.UNWRITTEN, Severity.WARN): Words(
        "0s",
        f"Node {NODE} can't write its cluster file.",
        "The next start of this node may have older members. Repair the disk, or the rights on the folder.",
        "ramsterctl health",
    ),
    (Code.UNWRITTEN, Severity.ERR): Words(
        "0s",
        f"Node {NODE} can't write its state file.",
        "First writes to blank exports are refused. Repair the disk, or the rights on the folder.",
        "ramsterctl health",
    ),
    (Code.CERT_EXPIRED, Severity.ERR): Words(
        "0s",
        f"The certificate of node {NODE} has ended.",
        "Open links stay, and a link that is lost stays lost. Renew the certificate, and copy it.",
        _RENEW,
        AT_CA,
    ),
    (Code.CORRUPT_FOUND, Severity.WARN): Words(
        "0s",
        f"Pages that node {NODE} stored here or at a peer were damaged.",
        "The memory of a machine may be bad, and more pages will be damaged.",
        "ramsterctl verify",
    ),
    (Code.CORRUPT_FOUND, Severity.ERR): Words(
        "0s",
        f"Tables of node {NODE} contradict each other.",
        "The memory of this machine may be bad, and more pages will be damaged.",
        "ramsterctl verify",
    ),
    (Code.NODE_DOWN, Severity.WARN): Words(
        "5m",
        f"Node {NODE} sees another node that is down, or was stopped.",
        "Its memory is missing, and the next node that ends may take last copies with it.",
        "ramsterctl health",
    ),
    (Code.NODE_DOWN, Severity.ERR): Words(
        "1m",
        f"Clients of node {NODE} wait for another node that is down.",
        "Their reads and writes fail when they have waited long enough.",
        "ramsterctl health",
    ),
    (Code.PAGES_AT_RISK, Severity.WARN): Words(
        "15m",
        f"Pages of node {NODE} have fewer copies than asked.",
        "Another node that ends may take the last copy of a page.",
        "ramsterctl health",
    ),
    (Code.LINK_DOWN, Severity.WARN): Words(
        "5m",
        f"Node {NODE} has no link to a node that is alive.",
        "Its pages at that node can't be read, and it sends none there.",
        "ramsterctl nodes",
    ),
    (Code.MEMBERS_DIFFER, Severity.WARN): Words(
        "5m",
        f"Node {NODE} has other members than another node.",
        "Nodes that do not know each other share no memory.",
        "ramsterctl nodes",
    ),
    (Code.MEMBERS_DIFFER, Severity.ERR): Words(
        "1m",
        f"Node {NODE} was removed from the cluster, and still runs.",
        "All other nodes refuse it.",
        "systemctl stop ramsterd",
    ),
    (Code.STARVED, Severity.WARN): Words(
        "5m",
        f"Node {NODE} answers late, or can't reach most others.",
        "Clients wait, other nodes send no pages there, and may take the node for dead.",
        "top",
    ),
    (Code.JOB_OVERDUE, Severity.WARN): Words(
        "5m",
        f"A drain that node {NODE} knows of has passed its deadline.",
        "The drained node can't be stopped yet without pages being at risk; no page is dropped.",
        "ramsterctl jobs",
    ),
    (Code.MEMORY_NEARFULL, Severity.WARN): Words(
        "10m",
        f"Less than 10 % of the memory that pages of node {NODE} can use is free.",
        "Writes will be refused when it is full.",
        "ramsterctl memory set --budget SIZE",
    ),
    (Code.MEMORY_STUCK, Severity.WARN): Words(
        "10m",
        f"Node {NODE} can't make its memory as small as it was asked to: no peer has room.",
        "The memory is not given back to this machine. Give other nodes memory first.",
        "ramsterctl memory set --budget SIZE",
    ),
    (Code.SWAP_UNSAFE, Severity.WARN): Words(
        "5m",
        f"A kernel swaps to node {NODE}, whose daemon is not protected from a machine without free memory.",
        "The daemon may be swapped out or ended, and the machine that swaps hangs.",
        "ramsterctl doctor --swap",
    ),
    (Code.NOT_KEPT, Severity.WARN): Words(
        "15m",
        f"Nobody keeps the memory of node {NODE} when ramsterd ends.",
        "A crash ends the pages of this node, and those that it keeps for others.",
        "ramsterctl doctor",
    ),
    (Code.CERT_EXPIRING, Severity.WARN): Words(
        "1h",
        f"The certificate of node {NODE} ends within 30 days.",
        "Then this node gets no new links. Renew the certificate, and copy it.",
        _RENEW,
        AT_CA,
    ),
    (Code.CLOCK_SKEW, Severity.WARN): Words(
        "5m",
        f"The clocks of node {NODE} and of another node are more than 5 s apart.",
        "Dates in logs and events of these nodes can't be compared.",
        "ramsterctl health",
    ),
    (Code.VERSION_SKEW, Severity.WARN): Words(
        "5m",
        f"Node {NODE} and another node have run different versions for an hour.",
        "An upgrade was begun and not ended.",
        "ramsterctl version",
    ),
}  # fmt: skip
assert set(WORDS) == {(code, each) for code, rule in RULES.items() for each in rule.severities}


def name_of(code: Code) -> str:
    """Return what the alert of a code is called."""
    return "Ramster" + "".join(word.capitalize() for word in code.value.split("_"))


def health_alerts() -> list[Alert]:
    """Return all of them, the worst first."""
    alerts = [_alert(code, severity, words) for (code, severity), words in WORDS.items()]
    return sorted(alerts, key=lambda alert: alert.severity != CRITICAL)


def _alert(code: Code, severity: Severity, words: Words) -> Alert:
    held = f'ramster_health{{code="{code.value}", severity="{severity.name.lower()}"}} == 1'
    muted = f'ramster_health_muted{{code="{code.value}"}} == 1'
    return Alert(
        name=name_of(code),
        expr=f"{held}\nunless ignoring (severity)\n{muted}",
        holds=words.holds,
        severity=_SEVERITIES[severity],
        summary=words.summary,
        worse=words.worse,
        where=words.where,
        command=words.command,
        heading=code.value,
    )
