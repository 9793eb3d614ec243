"""The node table: what this node believes of every other member.

The table joins three sources: verdicts of the failure detector, links that come and go, and what
peers say on their links (STATUS, refusals, drain, goodbye).  Each names the incarnation it speaks
of.  A newer incarnation than the known one ends the old incarnation, with all it held; an older one
is stale, changes nothing and is counted.  Down with the same incarnation is unreachable, not lost:
the row keeps its incarnation, and a count of copies keeps them until NewIncarnation says otherwise.

For each incarnation NodeUp and NodeDown alternate, and NodeDown comes before NewIncarnation, so
that a subscriber may treat the end of an incarnation like any other loss first.

A peer's link proves that it is alive: the caller of `on_link_up` also tells the failure detector
(`heard`), else the two differ until the next beat.
"""

from dataclasses import dataclass, replace

from config.model import ClusterConfig, NodeConfig
from nodemanager.events import (
    NO_MEMBER,
    STOPPED_IN_ORDER,
    NewIncarnation,
    NodeCleared,
    NodeDown,
    NodeDraining,
    NodeEvent,
    NodeSuspected,
    NodeUp,
)
from nodemanager.ids import Incarnation, NodeId, nameless
from nodemanager.placement import Candidate
from nodemanager.states import (
    LIVE_STATES,
    SIGN_OF_VERDICT,
    TRANSITIONS,
    LinkState,
    NodeState,
    Sign,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """What a peer's last STATUS said, checked by the parser."""

    free_bytes: int
    budget_bytes: int
    is_accepting: bool
    pressure: float  # 0 (idle) to 1
    pages_held_for_us: int
    # How fast it takes pages from us; 0: as fast as they come.
    put_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One line of `ramsterctl nodes`."""

    config: NodeConfig
    is_local: bool
    state: NodeState
    incarnation: Incarnation | None
    is_linked: bool
    status: PeerStatus | None
    changed_at: float | None  # monotonic seconds of the last change of state; None: none yet
    reason: str  # of that change
    link: LinkState
    link_reason: str  # why there is no link; empty: there is one, or nothing has happened yet


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatistics:
    """One snapshot of the table."""

    nodes: tuple[NodeRow, ...]
    new_incarnations_total: int
    stale_incarnations_total: int


@dataclass(slots=True)
class _Peer:
    config: NodeConfig
    state: NodeState = NodeState.JOINING
    incarnation: Incarnation | None = None
    # Whether that is all that is known: nobody has heard of it since an earlier process of ours.
    is_only_adopted: bool = False
    is_linked: bool = False  # with this incarnation; a link of an older incarnation is no link
    status: PeerStatus | None = None  # may be old when not linked
    changed_at: float | None = None
    reason: str = ""
    link: LinkState = LinkState.UNTRIED
    link_reason: str = ""


class NodeTable:
    """What we believe of every other member.  Pure: verdicts and links in, events out."""

    def __init__(
        self, cluster: ClusterConfig, local: NodeId, *, incarnation: Incarnation | None = None
    ) -> None:
        """Begin with every peer JOINING.

        Args:
            cluster: The membership, which has `local` in it.
            local: Our own number; nothing is ever said of us to our own table.
            incarnation: Our own incarnation, to be shown.
        """
        configs = {NodeId(node.number): node for node in cluster.node}
        assert len(configs) == len(cluster.node), "config.load lets no number pass twice"
        self.local = local
        self.local_config = configs.pop(local)
        self._incarnation = incarnation
        self._peers = {node: _Peer(config) for node, config in configs.items()}
        self._new_incarnations_total = 0
        self._stale_incarnations_total = 0

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Show this one as our own from now on."""
        self._incarnation = incarnation

    def adopt(self, node: NodeId, incarnation: Incarnation) -> None:
        """Know an incarnation of a peer from an earlier process of ours.

        It stays JOINING until somebody hears it.

        No earlier one is believed from now on.
        """
        peer = self._peers[node]
        assert peer.state is NodeState.JOINING
        peer.incarnation = max(incarnation, peer.incarnation or incarnation)
        peer.is_only_adopted = True

    # Members come and go.

    def __contains__(self, node: NodeId) -> bool:
        """Whether a node is a peer of ours."""
        return node in self._peers

    def on_members(self, cluster: ClusterConfig) -> list[NodeId]:
        """Take over who belongs to the cluster; return the peers that do not any more.

        Their rows stay until `forget`: links to them may still have something to say.
        `on_intents` follows: some may drain from now on.
        """
        configs = {NodeId(node.number): node for node in cluster.node}
        self.local_config = configs.pop(self.local, self.local_config)
        for node, config in configs.items():
            if node in self._peers:
                self._peers[node].config = config
            else:
                self._peers[node] = _Peer(config)
        gone = [node for node in self._peers if node not in configs]
        for node in gone:
            # Whatever it was: nothing is placed there from now on.
            self._peers[node].config = replace(self._peers[node].config, cordoned=True)
        return gone

    def forget(self, node: NodeId) -> list[NodeEvent]:
        """Drop the row of a node that is no member any more."""
        peer = self._peers.pop(node)
        if peer.state not in LIVE_STATES:
            return []
        return [NodeDown(node, peer.incarnation, NO_MEMBER)]

    # Inputs.  Each returns what changed, to be published by the caller.

    def on_verdict(self, verdict: Verdict, *, now: float) -> list[NodeEvent]:
        """Take over what the failure detector believes.

        A verdict on a node that it never heard is stale when we know an incarnation of that node:
        somebody did hear.  Unless that was an earlier process of ours.
        """
        sign = SIGN_OF_VERDICT[verdict.state]
        return self._on_sign(verdict.node, verdict.incarnation, sign, verdict.reason, now)

    def on_link_up(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[NodeEvent]:
        """Note an open link.  A stale one is not counted as open: see `is_stale` before accepting it."""
        if self.is_stale(node, incarnation):
            self._stale_incarnations_total += 1
            return []
        events = self._on_sign(node, incarnation, Sign.LINKED, "link opened", now)
        peer = self._peers[node]
        peer.is_linked = True
        peer.link, peer.link_reason = LinkState.LINKED, ""
        peer.status = None  # what it said on an earlier link is too old to place pages by
        return events

    def on_link_lost(
        self, node: NodeId, incarnation: Incarnation, *, now: float
    ) -> list[NodeEvent]:
        """Note a lost link.  The node may be alive: the detector judges that.

        The loss of an older incarnation's link, heard late, leaves the present link alone.
        """
        del now  # every input of a machine takes it
        peer = self._peers[node]
        if peer.incarnation == incarnation:
            peer.is_linked = False
        return []

    def on_no_link(self, node: NodeId, why: LinkState, reason: str) -> None:
        """Note why there is no link, for operators; nothing is decided by it.

        What is said while a link is open is about another one.  The same reason again is that of a
        loss, told by the dialler.
        """
        peer = self._peers.get(node)
        if peer is not None and not peer.is_linked and reason != peer.link_reason:
            peer.link, peer.link_reason = why, reason

    def on_status(self, node: NodeId, status: PeerStatus, *, now: float) -> list[NodeEvent]:
        """Keep what a STATUS said; nothing if its link counts as lost already."""
        del now
        peer = self._peers[node]
        if peer.is_linked:
            peer.status = status
        return []

    def on_intents(self, *, now: float) -> list[NodeEvent]:
        """Let states follow what the members' configs say of draining."""
        return [
            event for node, peer in self._peers.items() for event in _follow_intent(node, peer, now)
        ]

    def on_goodbye(self, node: NodeId, incarnation: Incarnation, *, now: float) -> list[NodeEvent]:
        """This incarnation leaves in order: datagrams still under way do not bring it back."""
        return self._on_sign(node, incarnation, Sign.STOPPED_IN_ORDER, STOPPED_IN_ORDER, now)

    # Questions.

    def nodes(self) -> tuple[NodeId, ...]:
        """Return all peers, without us, in the order of the cluster file."""
        return tuple(self._peers)

    def name(self, node: NodeId) -> str:
        """Return what the cluster file calls a node, ourselves too, or its number if it has no such node (any more)."""
        if node == self.local:
            return self.local_config.name
        peer = self._peers.get(node)
        return nameless(node) if peer is None else peer.config.name

    def state(self, node: NodeId) -> NodeState:
        """Return what we believe of a peer."""
        return self._peers[node].state

    def incarnation(self, node: NodeId) -> Incarnation | None:
        """Return the newest incarnation of a peer that we know; None when it was never heard."""
        return self._peers[node].incarnation

    def status(self, node: NodeId) -> PeerStatus | None:
        """Return what a peer said last; None: nothing yet on its present link."""
        return self._peers[node].status

    def is_linked(self, node: NodeId) -> bool:
        """Whether a link to the present incarnation of a peer is open."""
        return self._peers[node].is_linked

    def is_stale(self, node: NodeId, incarnation: Incarnation) -> bool:
        """Whether we know a newer incarnation of a peer than this one."""
        known = self._peers[node].incarnation
        return known is not None and incarnation < known

    def row(self, node: NodeId) -> NodeRow:
        """Return what is shown of a peer."""
        return _row(self._peers[node])

    def candidates(self) -> list[Candidate]:
        """Return every peer as placement sees it.  One that sent no STATUS on its link takes nothing."""
        return [
            Candidate(
                node=node,
                state=peer.state,
                is_linked=peer.is_linked,
                is_cordoned=peer.config.cordoned or peer.config.draining,
                is_accepting=peer.status is not None and peer.status.is_accepting,
                free_bytes=peer.status.free_bytes if peer.status is not None else 0,
                budget_bytes=peer.status.budget_bytes if peer.status is not None else 0,
                pressure=peer.status.pressure if peer.status is not None else 0.0,
                zone=peer.config.zone,
            )
            for node, peer in self._peers.items()
        ]

    def statistics(self) -> TableStatistics:
        """Return a snapshot of all members by number, with us among them."""
        rows = [_row(peer) for peer in self._peers.values()]
        rows.append(
            NodeRow(
                config=self.local_config,
                is_local=True,
                state=NodeState.DRAINING if self.local_config.draining else NodeState.UP,
                incarnation=self._incarnation,
                is_linked=False,
                status=None,
                changed_at=None,
                reason="",
                link=LinkState.UNTRIED,
                link_reason="",
            )
        )
        return TableStatistics(
            nodes=tuple(sorted(rows, key=lambda row: row.config.number)),
            new_incarnations_total=self._new_incarnations_total,
            stale_incarnations_total=self._stale_incarnations_total,
        )

    def check_invariants(self) -> None:
        """Assert what must hold between any two inputs."""
        assert self.local not in self._peers
        for node, peer in self._peers.items():
            assert peer.config.number == node
            if peer.incarnation is None:
                assert peer.state in {NodeState.JOINING, NodeState.DOWN}, "alive, yet never heard"
                assert not peer.is_linked, "linked to an incarnation without a name"
                assert peer.status is None
            else:
                assert peer.state is not NodeState.JOINING or not peer.is_linked

    # State changes.

    def _on_sign(
        self, node: NodeId, incarnation: Incarnation | None, sign: Sign, reason: str, now: float
    ) -> list[NodeEvent]:
        peer = self._peers[node]
        known = peer.incarnation
        is_heard = incarnation is not None
        if not is_heard and peer.is_only_adopted:
            incarnation = known
        if known is not None and (incarnation is None or incarnation < known):
            self._stale_incarnations_total += 1
            return []
        peer.is_only_adopted = peer.is_only_adopted and not is_heard
        events: list[NodeEvent] = []
        if incarnation is not None and incarnation != known:
            events += self._begin_incarnation(node, peer, incarnation)
        events += _step(node, peer, sign, reason, now)
        return events + _follow_intent(node, peer, now)

    def _begin_incarnation(
        self, node: NodeId, peer: _Peer, incarnation: Incarnation
    ) -> list[NodeEvent]:
        old, was_live = peer.incarnation, peer.state in LIVE_STATES
        peer.incarnation = incarnation
        peer.state = NodeState.JOINING
        peer.is_linked = False
        peer.status = None
        if old is None:
            return []
        self._new_incarnations_total += 1
        ended: list[NodeEvent] = (
            [NodeDown(node, old, "its earlier run has ended")] if was_live else []
        )
        return [*ended, NewIncarnation(node, old, incarnation)]


def _step(node: NodeId, peer: _Peer, sign: Sign, reason: str, now: float) -> list[NodeEvent]:
    """Move one peer along the transition table and tell what that means to others."""
    old, new = peer.state, TRANSITIONS[peer.state][sign]
    if new is old:
        return []
    peer.state, peer.changed_at, peer.reason = new, now, reason
    if new not in LIVE_STATES:
        was_told = old in {NodeState.DOWN, NodeState.LEFT}
        return [] if was_told else [NodeDown(node, peer.incarnation, reason)]
    assert peer.incarnation is not None, "a live node has an incarnation"
    events: list[NodeEvent] = []
    if old not in LIVE_STATES:
        events.append(NodeUp(node, peer.incarnation))
    elif new is NodeState.UP:
        events.append(NodeCleared(node, peer.incarnation))
    if new is NodeState.SUSPECT:
        events.append(NodeSuspected(node, peer.incarnation, reason))
    if new is NodeState.DRAINING:
        events.append(NodeDraining(node, peer.incarnation))
    return events


def _follow_intent(node: NodeId, peer: _Peer, now: float) -> list[NodeEvent]:
    """Let a node that is up drain when its config says so, and the reverse: fetching from it goes on."""
    if peer.config.draining and peer.state is NodeState.UP:
        return _step(node, peer, Sign.DRAIN_BEGAN, "an operator drains it", now)
    if not peer.config.draining and peer.state is NodeState.DRAINING:
        return _step(node, peer, Sign.DRAIN_ENDED, "no longer drained", now)
    return []


def _row(peer: _Peer) -> NodeRow:
    return NodeRow(
        config=peer.config,
        is_local=False,
        state=peer.state,
        incarnation=peer.incarnation,
        is_linked=peer.is_linked,
        status=peer.status,
        changed_at=peer.changed_at,
        reason=peer.reason,
        link=peer.link,
        link_reason=peer.link_reason,
    )
