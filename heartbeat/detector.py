"""Who is alive: signs of life in, verdicts out.  Pure; `heartbeat.service` feeds it.

Theory of operation of `TimeoutDetector`: every node beats at every other, and silence is measured for each node
by itself.  A silence of `suspect_seconds` makes it SUSPECT, one of `down_seconds` DOWN, one sign of life UP
again.  A node that was never heard has no trust to lose: it goes straight to DOWN, `down_seconds` after we
began to listen.

Silence says nothing when it was we who slept (SIGSTOP, swap, a laptop's lid).  We notice that by our own
deadline coming much too late, and give everyone a fresh period of grace instead of judging them by our sleep.
Known weaknesses: traffic grows with the square of the cluster, and one bad path from here is taken for a dead
node; both are what SWIM is for.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from config.model import TimersConfig
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorStatistics:
    """One snapshot of a failure detector."""

    nodes: dict[NodeState, int]  # how many are in each state; the caller's own copy
    heard_total: int
    verdicts_total: int
    stale_total: int  # signs of a life that is over
    stalls_total: int  # how often we noticed that we ourselves had slept


class FailureDetector(Protocol):
    """Signs of life in, verdicts out.

    SWIM with Lifeguard will stand behind the same five methods.  What it needs besides, probes and gossip, are
    datagrams: it will get an `on_datagram` of its own and return `SendDatagram` effects beside the verdicts, and
    link traffic will still arrive as `on_heard`, which refutes a suspicion like an acknowledged probe.
    """

    def on_heard(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[Verdict]:
        """Note a sign of life: a beat, or anything that came over the node's link."""
        ...

    def on_deadline(self, *, now: float) -> list[Verdict]:
        """Judge silence.  May be called early, which does nothing, or late."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` is due, in monotonic seconds; None: not until somebody is heard."""
        ...

    def on_members_changed(self, nodes: Collection[NodeId], *, now: float) -> None:
        """Listen to these nodes, without ourselves, from now on: forget the others, and know new ones as unheard."""
        ...

    def statistics(self) -> DetectorStatistics:
        """Return a snapshot."""
        ...

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        ...


@dataclass(slots=True)
class _Heard:
    quiet_since: float
    state: NodeState = NodeState.JOINING
    incarnation: Incarnation | None = None


class TimeoutDetector:
    """The first failure detector: one silence timer for each node."""

    def __init__(self, nodes: Collection[NodeId], timers: TimersConfig, *, now: float) -> None:
        """Begin to listen for `nodes` (without ourselves)."""
        assert 0 < timers.suspect_seconds < timers.down_seconds
        self._suspect_seconds = timers.suspect_seconds
        self._down_seconds = timers.down_seconds
        self._nodes = {node: _Heard(quiet_since=now) for node in nodes}
        self._now = now
        self._heard_total = 0
        self._verdicts_total = 0
        self._stale_total = 0
        self._stalls_total = 0

    def on_heard(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[Verdict]:
        """Note a sign of life; constant time, for links report each wake-up."""
        self._advance(now)
        heard = self._nodes[node]
        known = heard.incarnation
        if known is not None and incarnation < known:
            self._stale_total += 1
            return []
        self._heard_total += 1
        heard.quiet_since = now
        if heard.state is NodeState.UP and incarnation == known:
            return []
        is_new_life = known is not None and incarnation != known
        heard.incarnation = incarnation
        return [self._judge(node, NodeState.UP, "started again" if is_new_life else "heard")]

    def on_members_changed(self, nodes: Collection[NodeId], *, now: float) -> None:
        """Forget nodes that are gone; a new one has as long to be heard as all had at the start."""
        self._advance(now)
        self._nodes = {node: self._nodes.get(node) or _Heard(quiet_since=now) for node in nodes}

    def on_deadline(self, *, now: float) -> list[Verdict]:
        """Judge everyone's silence, or notice that we slept ourselves and judge nobody."""
        self._advance(now)
        due = self.next_deadline()
        if due is None or now < due:
            return []
        if now - due > self._suspect_seconds:
            self._begin_grace(now)
            return []
        verdicts = []
        for node, heard in self._nodes.items():
            state = self._state_after_silence(heard, now)
            if state is not heard.state:
                reason = f"silent for {now - heard.quiet_since:.1f} s"
                verdicts.append(self._judge(node, state, reason))
        return verdicts

    def next_deadline(self) -> float | None:
        """Return the earliest time at which some node's silence changes what we believe."""
        return min(
            (
                heard.quiet_since + self._patience_seconds(heard.state)
                for heard in self._nodes.values()
                if heard.state is not NodeState.DOWN
            ),
            default=None,
        )

    def statistics(self) -> DetectorStatistics:
        """Return a snapshot."""
        states = [heard.state for heard in self._nodes.values()]
        return DetectorStatistics(
            nodes={state: states.count(state) for state in NodeState},
            heard_total=self._heard_total,
            verdicts_total=self._verdicts_total,
            stale_total=self._stale_total,
            stalls_total=self._stalls_total,
        )

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        for heard in self._nodes.values():
            assert heard.quiet_since <= self._now, "heard in the future"
            if heard.state in {NodeState.UP, NodeState.SUSPECT}:
                assert heard.incarnation is not None, "trusted, yet never heard"
            else:
                assert heard.state in {NodeState.JOINING, NodeState.DOWN}
            if heard.state is NodeState.JOINING:
                assert heard.incarnation is None, "heard, yet not judged"
        is_anyone_awaited = any(heard.state is not NodeState.DOWN for heard in self._nodes.values())
        assert (self.next_deadline() is not None) == is_anyone_awaited

    def _judge(self, node: NodeId, state: NodeState, reason: str) -> Verdict:
        heard = self._nodes[node]
        heard.state = state
        self._verdicts_total += 1
        return Verdict(node, state, heard.incarnation, reason)

    def _begin_grace(self, now: float) -> None:
        self._stalls_total += 1
        for heard in self._nodes.values():
            heard.quiet_since = now

    def _patience_seconds(self, state: NodeState) -> float:
        return self._suspect_seconds if state is NodeState.UP else self._down_seconds

    def _state_after_silence(self, heard: _Heard, now: float) -> NodeState:
        """What a node's silence makes of it.  Compares as `next_deadline` adds, so that rounding agrees."""
        if heard.state is NodeState.DOWN or now >= heard.quiet_since + self._down_seconds:
            return NodeState.DOWN
        if heard.state is NodeState.UP and now >= heard.quiet_since + self._suspect_seconds:
            return NodeState.SUSPECT
        return heard.state

    def _advance(self, now: float) -> None:
        assert now >= self._now, "the clock went backwards"
        self._now = now
