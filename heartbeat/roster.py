"""News of members in, verdicts out: suspicion, refutation, gossip.  Pure.

The half of SWIM that sends nothing.

A row about ourselves is denied by a higher refutation.  A row that accuses a node whose link
brought something just now is not believed: the TCP link is a second path, and a node that it
reaches is alive.
"""

import math
from collections.abc import Collection

from heartbeat.awareness import Awareness
from heartbeat.datagram import U32_MAX, Row
from heartbeat.gossip import Gossip
from heartbeat.knobs import SELF_DOUBT_SUSPECTS_MIN, Knobs
from heartbeat.members import LIVE, Member, Members
from heartbeat.suspicion import Suspicion, begin_suspicion
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict


class Roster:
    """The believed states of all members, the suspicions under way, and the news to pass on."""

    def __init__(
        self,
        nodes: Collection[NodeId],
        local: NodeId,
        incarnation: Incarnation,
        *,
        probe_seconds: float,
        knobs: Knobs,
        awareness: Awareness,
    ) -> None:
        assert local not in nodes
        self.members = Members(nodes)
        self.gossip = Gossip(multiplier=knobs.suspicion_multiplier, members=len(nodes) + 1)
        self.refutation = 0
        self.verdicts: list[Verdict] = []  # taken off by `heartbeat.swim`
        self.stale_news_total = self.refutations_total = self.verdicts_total = 0
        self.accusations_total = 0
        self.suspicions_total = self.cleared_suspicions_total = 0
        self.downs_total = self.cleared_downs_total = 0
        self._local, self.incarnation = local, incarnation
        self._probe_seconds = probe_seconds
        self._knobs = knobs
        self._awareness = awareness
        self._suspicions: dict[NodeId, Suspicion] = {}
        self.gossip.push(self.own_row())

    def on_members_changed(self, nodes: Collection[NodeId]) -> list[NodeId]:
        """Know these members, without ourselves, from now on; return the new ones."""
        new = self.members.on_members_changed(nodes)
        self._suspicions = {
            node: suspicion for node, suspicion in self._suspicions.items() if node in nodes
        }
        self.gossip.on_members_changed([*nodes, self._local])
        return new

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Speak of ourselves as a new incarnation from now on, which nobody has accused yet."""
        self.incarnation, self.refutation = incarnation, 0
        self.gossip.push(self.own_row())

    @property
    def live_count(self) -> int:
        """How many nodes live, as far as we know, ourselves among them."""
        return len(self.members.live()) + 1

    @property
    def is_in_doubt(self) -> bool:
        """Whether so many seem dead that it is more likely we who are cut off or starved."""
        suspects = len(self._suspicions)
        return suspects >= SELF_DOUBT_SUSPECTS_MIN and 2 * suspects > self.live_count - 1

    def own_row(self) -> Row:
        """Return what we say of ourselves."""
        return Row(self._local, NodeState.UP, self.incarnation, self.refutation, self._local)

    def on_row(self, row: Row, now: float) -> None:
        """Judge news, from whomever."""
        if row.node == self._local:
            self._deny(row)
            return
        member = self.members.get(row.node)
        if member is None:
            return
        if member.is_same_suspicion(row):
            if self._suspicions[row.node].confirm(row.accuser):
                self.gossip.push(row)
        elif not member.is_news(row):
            self.stale_news_total += row.incarnation < (member.incarnation or 0)
        elif not (row.state is not NodeState.UP and self._is_reachable(member, row, now)):
            if row.state is NodeState.UP:
                self._believe(member, row, now, "it answers")
            else:
                self._believe(member, row, now, "reported", reporter=row.accuser)
            self.gossip.push(row)

    def on_linked(self, node: NodeId, incarnation: Incarnation, now: float) -> bool:
        """Note that something came over a node's link: the one proof of which incarnation it is.

        Return whether anything follows from that, which it mostly does not.

        A higher one that gossip spoke of was a mistake or a lie, and would never be denied: no node
        has that incarnation.
        """
        member = self.members[node]
        if incarnation < (member.linked_incarnation or 0):
            self.stale_news_total += 1
            return False
        member.linked_at, member.linked_incarnation = now, incarnation
        if incarnation != member.incarnation:
            row = Row(node, NodeState.UP, incarnation, 0, node)
            self._believe(member, row, now, "it answers over its link")
            self.gossip.push(row)
            return True
        if member.state is not NodeState.UP:
            # Known to us alone: others hear it from the node itself, once it denies what they say.
            row = Row(node, NodeState.UP, incarnation, member.refutation, node)
            self._believe(member, row, now, "it answers over its link")
            return True
        return False

    def accuse(self, node: NodeId, now: float) -> None:
        """Suspect a node, or confirm what others suspect."""
        member = self.members[node]
        if member.incarnation is None or member.state not in LIVE:
            return
        self.accusations_total += 1
        row = Row(node, NodeState.SUSPECT, member.incarnation, member.refutation, self._local)
        if member.state is NodeState.SUSPECT:
            if self._suspicions[node].confirm(self._local):
                self.gossip.push(row)
            return
        self._believe(member, row, now, "no answer to a probe")
        self.gossip.push(row)

    def end_suspicions(self, now: float) -> None:
        """Give up those who denied nothing in time."""
        in_doubt = self.is_in_doubt
        for node, suspicion in list(self._suspicions.items()):
            if now < suspicion.deadline(is_in_doubt=in_doubt):
                continue
            member = self.members[node]
            assert member.incarnation is not None
            row = Row(node, NodeState.DOWN, member.incarnation, member.refutation, self._local)
            self._believe(
                member,
                row,
                now,
                f"no sign of life for {now - suspicion.began:.1f} s after it became suspect",
            )
            self.gossip.push(row)

    def give_up_unheard(self) -> None:
        """Judge those that were never heard of down; that is our own opinion and nobody's news."""
        for member in self.members.all():
            if member.state is NodeState.JOINING:
                member.state = NodeState.DOWN
                self._judge(member, "it never answered", None)

    def postpone(self, seconds: float) -> None:
        """Let suspicions last longer by the time that we slept."""
        for suspicion in self._suspicions.values():
            suspicion.began += seconds

    def next_deadline(self) -> float:
        """Return when a suspicion may end."""
        in_doubt = self.is_in_doubt
        ends = (each.deadline(is_in_doubt=in_doubt) for each in self._suspicions.values())
        return min(ends, default=math.inf)

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        self.gossip.check_invariants()
        for member in self.members.all():
            is_suspect = member.state is NodeState.SUSPECT
            assert is_suspect == (member.node in self._suspicions), "suspect without a deadline"
            if member.state in LIVE:
                assert member.incarnation is not None, "trusted, yet never heard of"

    def _is_reachable(self, member: Member, row: Row, now: float) -> bool:
        """Whether this incarnation was heard over its link a moment ago, whatever others say."""
        is_recent = now - member.linked_at <= 2 * self._probe_seconds
        return is_recent and row.incarnation == member.incarnation

    def _deny(self, row: Row) -> None:
        if row.incarnation != self.incarnation or row.state is NodeState.UP:
            return
        if row.refutation < self.refutation:
            return
        self.refutation = min(row.refutation + 1, U32_MAX)
        self.refutations_total += 1
        self._awareness.on_bad()
        self.gossip.push(self.own_row())

    def _believe(
        self, member: Member, row: Row, now: float, reason: str, *, reporter: NodeId | None = None
    ) -> None:
        known, state = member.incarnation, member.state
        member.take(row)
        if row.state is not NodeState.SUSPECT:
            self._suspicions.pop(row.node, None)
        else:
            self._suspicions[row.node] = begin_suspicion(
                row.accuser,
                live=self.live_count,
                probe_seconds=self._probe_seconds,
                knobs=self._knobs,
                now=now,
            )
        if known is not None and known != row.incarnation:
            reason, reporter = "restarted", None
        self._count(state, row.state, is_same_incarnation=known == row.incarnation)
        if state is not row.state or known != row.incarnation:
            self._judge(member, reason, reporter)

    def _count(self, old: NodeState, new: NodeState, *, is_same_incarnation: bool) -> None:
        is_changed = new is not old or not is_same_incarnation
        self.suspicions_total += is_changed and new is NodeState.SUSPECT
        self.downs_total += is_changed and new is NodeState.DOWN
        if is_same_incarnation and new is NodeState.UP:
            self.cleared_suspicions_total += old is NodeState.SUSPECT
            self.cleared_downs_total += old is NodeState.DOWN

    def _judge(self, member: Member, reason: str, reporter: NodeId | None) -> None:
        self.verdicts_total += 1
        self.verdicts.append(
            Verdict(member.node, member.state, member.incarnation, reason, reporter)
        )
