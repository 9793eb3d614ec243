"""What differs between nodes that should be alike: their clocks, and the versions that they run.  Pure."""

from typing import Final

from ramsterd.asking.comparer import SKEW_SECONDS_CERTIFICATES, PeerReport
from ramsterd.health.codes import Code, Finding, warn
from ramsterd.health.facts import Facts, Past
from ramsterd.health.wording import are, named

# What to type where it is not known which clock is wrong.
SET_CLOCKS: Final = (
    "timedatectl, here and there; where the clock is wrong: timedatectl set-ntp true"
)


def clock_skew(facts: Facts, past: Past) -> Finding | None:
    """Return whether clocks are too far apart."""
    del past
    skews = {
        peer.name: peer.report.clock_skew_seconds
        for peer in facts.peers
        if peer.report is not None
        and peer.report.clock_skew_seconds is not None
        and peer.report.is_skewed
    }
    if not skews:
        return None
    details = [f"{name}: {show_skew(skew)}" for name, skew in skews.items()]
    if max(map(abs, skews.values())) > SKEW_SECONDS_CERTIFICATES:
        details.append("certificates that are new may not be valid yet at the node that is behind")
    compared = sum(
        peer.report is not None and peer.report.clock_skew_seconds is not None
        for peer in facts.peers
    )
    wrong = node_with_wrong_clock(facts.node, skews, compared)
    return warn(
        Code.CLOCK_SKEW,
        f"dates in logs and events mislead: the clock of {facts.node} differs from that of {named(list(skews))}",
        details=tuple(details),
        command=f"on node {wrong}: timedatectl set-ntp true" if wrong else SET_CLOCKS,
        count=len(skews),
    )


def node_with_wrong_clock(ours: str, skews: dict[str, float], compared: int) -> str:
    """Return whose clock is probably wrong, empty if nobody can tell: of two nodes either may be.

    Args:
        ours: The name of this node.
        skews: By how much the clocks of others are ahead, of those that differ.
        compared: How many others were compared.
    """
    if compared < 2:  # noqa: PLR2004  the third one decides
        return ""
    if len(skews) * 2 > compared:
        return ours
    return next(iter(skews)) if len(skews) == 1 else ""


def show_skew(seconds: float) -> str:
    """Return how another clock differs from ours."""
    return f"its clock is {abs(seconds):,.1f} s {'ahead' if seconds > 0 else 'behind'}"


def version_skew(facts: Facts, past: Past) -> Finding | None:
    """Return whether nodes run different versions, for longer than an upgrade takes."""
    del past
    others = {
        peer.name: peer.report
        for peer in facts.peers
        if peer.report is not None and peer.report.version != facts.version
    }
    if not others:
        return None
    return warn(
        Code.VERSION_SKEW,
        f"{named(list(others))} {are(len(others))} not of version {facts.version}, as this node is",
        details=tuple(f"{name}: {show_version(report)}" for name, report in others.items()),
        command="install one version on all nodes, then on each: ramsterctl restart",
        count=len(others),
    )


def show_version(report: PeerReport) -> str:
    """Return what a peer runs."""
    return f"version {report.version}" if report.version else "an older version"
