"""The node table under any order of verdicts, links and messages, against a subscriber's view of it."""

from dataclasses import replace

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodemanager.events import NewIncarnation, NodeDown, NodeEvent, NodeUp
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import LIVE_STATES, NodeState, Verdict
from nodemanager.table import NodeTable, PeerStatus
from tests.helpers.clusters import cluster_of

CLUSTER = cluster_of(3)
NODES = st.sampled_from([NodeId(1), NodeId(2)])
INCARNATIONS = st.integers(1, 4).map(Incarnation)
STATES = st.sampled_from([NodeState.UP, NodeState.SUSPECT, NodeState.DOWN])


class TableMachine(RuleBasedStateMachine):
    """Feeds a table, and believes of each node only what its events say."""

    def __init__(self) -> None:
        super().__init__()
        self.table = NodeTable(CLUSTER, NodeId(0))
        self.draining: set[NodeId] = set()
        self.now = 0.0
        self.newest: dict[NodeId, Incarnation] = {}
        self.links: dict[NodeId, Incarnation] = {}
        self.lives: dict[NodeId, Incarnation] = {}  # told up and not yet down

    def check(self, node: NodeId, told: Incarnation | None, events: list[NodeEvent]) -> None:
        known = self.newest.get(node)
        if known is not None and (told is None or told < known):
            assert events == [], "stale news changed something"
        elif told is not None:
            self.newest[node] = told
        renewed = NewIncarnation(node, known, told) if known and told and told > known else None
        assert [e for e in events if isinstance(e, NewIncarnation)] == (
            [renewed] if renewed else []
        )
        for event in events:
            assert event.node == node
            self.follow(event)
        if renewed:
            self.links.pop(node, None)

    def follow(self, event: NodeEvent) -> None:
        match event:
            case NodeUp(node, incarnation):
                assert node not in self.lives, "up twice"
                self.lives[node] = incarnation
            case NodeDown(node, incarnation):
                assert self.lives.pop(node, incarnation) == incarnation, (
                    "another incarnation went down"
                )
            case NewIncarnation(node):
                assert node not in self.lives, "renewed before it was told down"
            case _:
                assert self.lives[event.node] == event.incarnation, (
                    "news of an incarnation not told up"
                )

    @rule(node=NODES, state=STATES, incarnation=INCARNATIONS)
    def verdict(self, node: NodeId, state: NodeState, incarnation: Incarnation) -> None:
        self.now += 1
        verdict = Verdict(node, state, incarnation, "told")
        self.check(node, incarnation, self.table.on_verdict(verdict, now=self.now))

    @rule(node=NODES)
    def never_heard(self, node: NodeId) -> None:
        verdict = Verdict(node, NodeState.DOWN, None, "told")
        self.check(node, None, self.table.on_verdict(verdict, now=self.now))

    @rule(node=NODES, incarnation=INCARNATIONS)
    def link_up(self, node: NodeId, incarnation: Incarnation) -> None:
        is_stale = self.table.is_stale(node, incarnation)
        self.check(node, incarnation, self.table.on_link_up(node, incarnation, now=self.now))
        if not is_stale:
            self.links[node] = incarnation
            assert self.table.state(node) in LIVE_STATES

    @rule(node=NODES, incarnation=INCARNATIONS)
    def link_lost(self, node: NodeId, incarnation: Incarnation) -> None:
        assert self.table.on_link_lost(node, incarnation, now=self.now) == []
        if self.links.get(node) == incarnation:
            del self.links[node]

    @rule(node=NODES, incarnation=INCARNATIONS)
    def goodbye(self, node: NodeId, incarnation: Incarnation) -> None:
        self.check(node, incarnation, self.table.on_goodbye(node, incarnation, now=self.now))

    @rule(node=NODES, begins=st.booleans())
    def drain(self, node: NodeId, begins: bool) -> None:
        self.draining = self.draining | {node} if begins else self.draining - {node}
        nodes = tuple(replace(each, draining=each.number in self.draining) for each in CLUSTER.node)
        assert self.table.on_members(replace(CLUSTER, node=nodes)) == []
        was_live = self.table.state(node) in LIVE_STATES
        for event in self.table.on_intents(now=self.now):
            self.follow(event)
        assert (self.table.state(node) in LIVE_STATES) == was_live
        assert (self.table.state(node) is NodeState.DRAINING) <= begins

    @rule(node=NODES, free_bytes=st.integers(0, 1 << 20), is_accepting=st.booleans())
    def status(self, node: NodeId, free_bytes: int, is_accepting: bool) -> None:
        status = PeerStatus(
            free_bytes=free_bytes,
            budget_bytes=1 << 20,
            is_accepting=is_accepting,
            pressure=0.0,
            pages_held_for_us=0,
        )
        assert self.table.on_status(node, status, now=self.now) == []

    @invariant()
    def the_table_is_sound(self) -> None:
        self.table.check_invariants()

    @invariant()
    def a_listener_believes_what_the_table_says(self) -> None:
        for node in self.table.nodes():
            assert (self.table.state(node) in LIVE_STATES) == (node in self.lives)
            assert self.table.incarnation(node) == self.newest.get(node)
            assert self.table.is_linked(node) == (node in self.links)


TableMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestNodeTable = TableMachine.TestCase
