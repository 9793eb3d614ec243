"""Comparer: which peer is asked next for a report of itself, and what the last reports say.  Pure.

A peer is asked when its process is new, and once in `ASK_AGAIN_SECONDS`; soon again when its clock
differs, so that one answer that was held up somewhere is not believed for a minute.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from config.limits import NODES_MAX
from nodemanager.ids import Incarnation, NodeId
from ramsterd.asking.self_report import SelfReport
from ramsterd.host.slack import slack_of

# How far clocks may be apart.  Dates in the logs and events of two nodes are put side by side; a
# node that falls silent is given up within some seconds (heartbeat.suspicion), and with clocks
# further apart than that the effect stands before its cause.
SKEW_SECONDS_MAX: Final = 5.0
# From here on a new certificate may not be valid yet at a node: ramsterd.provision.ca dates it back
# by so much.
SKEW_SECONDS_CERTIFICATES: Final = 3600.0
ASK_AGAIN_SECONDS: Final = 60.0
ASK_SOON_SECONDS: Final = 5.0
# Between any two questions.
APART_SECONDS: Final = 0.25
# What is older is not shown: the node may have changed since.
REPORT_SECONDS_MAX: Final = 600.0
assert NODES_MAX * (APART_SECONDS + slack_of(APART_SECONDS)) < REPORT_SECONDS_MAX, (
    "all nodes are asked before that"
)

# One process of a node: its incarnation and attach count.
Process: TypeAlias = tuple[Incarnation, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """What is known of a peer that this node can compare with itself."""

    # Empty: it runs a version that answers no other nodes, so an older one.
    version: str
    build: str = ""
    # By how much its clock is ahead of ours, negative: behind; and how far that may be wrong.  None:
    # it was not asked.
    clock_skew_seconds: float | None = None
    clock_uncertainty_seconds: float = 0.0

    @property
    def is_skewed(self) -> bool:
        """Whether its clock differs from ours for sure."""
        return self.clock_skew_seconds is not None and is_skewed(
            self.clock_skew_seconds, self.clock_uncertainty_seconds
        )


def is_skewed(clock_skew_seconds: float, clock_uncertainty_seconds: float) -> bool:
    """Whether two clocks are too far apart, even if the answer took all of its time on one way."""
    return abs(clock_skew_seconds) - clock_uncertainty_seconds > SKEW_SECONDS_MAX


def skew_of(
    report: SelfReport, *, asked_at: float, answered_at: float, clock_seconds: float
) -> tuple[float, float]:
    """Return by how much another clock is ahead, and the uncertainty: half of the round trip.

    Args:
        report: What the other node said.
        asked_at: Monotonic seconds when the question left.
        answered_at: The same when the answer was here.
        clock_seconds: Our clock at that moment, in seconds since 1970.
    """
    half = max(0.0, answered_at - asked_at) / 2
    return report.clock_seconds - (clock_seconds - half), half


@dataclass(slots=True)
class _Peer:
    process: Process
    due_at: float
    report: PeerReport | None = None
    reported_at: float = 0.0


class Comparer:
    """See the module's text."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, _Peer] = {}

    def on_links(self, links: Mapping[NodeId, Process], now: float) -> None:
        """Know which processes can be asked; what one said that is gone is kept for a while."""
        for node, process in links.items():
            peer = self._peers.get(node)
            if peer is None or peer.process != process:
                self._peers[node] = _Peer(process, due_at=now)
        for node in [node for node in self._peers if node not in links]:
            if self._is_old(self._peers[node], now):
                del self._peers[node]

    def next_node(self, among: Iterable[NodeId], now: float) -> NodeId | None:
        """Return the node that has waited longest to be asked; None: none is due."""
        due = [node for node in among if node in self._peers and self._peers[node].due_at <= now]
        return min(due, key=lambda node: self._peers[node].due_at, default=None)

    def on_report(self, node: NodeId, report: PeerReport, now: float) -> None:
        """Take what a node said, or that it is too old to say anything."""
        peer = self._peers.get(node)
        if peer is None:
            return
        peer.report, peer.reported_at = report, now
        peer.due_at = now + (ASK_SOON_SECONDS if report.is_skewed else ASK_AGAIN_SECONDS)

    def on_no_report(self, node: NodeId, now: float) -> None:
        """There was no answer, or none that makes sense: it is asked again in its turn."""
        if (peer := self._peers.get(node)) is not None:
            peer.due_at = now + ASK_AGAIN_SECONDS

    def reports(self, now: float) -> dict[NodeId, PeerReport]:
        """Return what is known; the caller's own copy."""
        return {
            node: peer.report
            for node, peer in self._peers.items()
            if peer.report is not None and not self._is_old(peer, now)
        }

    @staticmethod
    def _is_old(peer: _Peer, now: float) -> bool:
        return peer.report is None or now >= peer.reported_at + REPORT_SECONDS_MAX
