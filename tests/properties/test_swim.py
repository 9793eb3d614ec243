"""The machine under any order of datagrams, link traffic, deadlines and sleeps: its invariants, and who wins."""

import random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from config.model import TimersConfig
from heartbeat.datagram import DatagramKind
from heartbeat.swim import AskLink, Effect, SendDatagram, Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from tests.helpers.heartbeat_messages import DOWN, SUSPECT, UP, message, row

OTHERS = [NodeId(number) for number in range(1, 6)]
nodes = st.sampled_from(OTHERS)
small = st.integers(0, 2)
rows = st.builds(
    row,
    st.integers(0, 6),
    st.sampled_from([UP, SUSPECT, DOWN]),
    incarnation=small,
    refutation=small,
    accuser=nodes,
)


class SwimMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.swim = Swim(
            OTHERS,
            NodeId(0),
            Incarnation(1),
            TimersConfig(),
            now=0,
            rng=random.Random(0),
        )
        self.told: dict[NodeId, tuple[NodeState, Incarnation | None]] = {}
        self.denials = 0
        # The newest incarnation of each that a link has shown.
        self.linked: dict[int, int] = {}

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Verdict(node, state, incarnation):
                    before = self.told.get(node)
                    assert before != (state, incarnation), "a verdict that says nothing new"
                    if before and before[1] is not None:
                        assert incarnation is not None
                        shown = self.linked.get(node)
                        assert incarnation >= before[1] or incarnation == shown, (
                            "back to an earlier incarnation, which no link has shown"
                        )
                    self.told[node] = (state, incarnation)
                case AskLink(asked):
                    assert asked in OTHERS
                case SendDatagram(sent):
                    assert sent.target in OTHERS
                    assert sent.refutation >= self.denials, "a denial was taken back"
                    self.denials = sent.refutation

    @rule(
        node=nodes,
        kind=st.sampled_from(DatagramKind),
        rows=st.lists(rows, max_size=4),
        incarnation=small,
        refutation=small,
        subject=st.integers(0, 6),
        probe=small,
    )
    def datagram(
        self,
        node: int,
        kind: DatagramKind,
        rows: list[object],
        incarnation: int,
        refutation: int,
        subject: int,
        probe: int,
    ) -> None:
        arrived = message(
            node,
            0,
            kind,
            *rows,  # type: ignore[arg-type]  # what the strategy draws
            incarnation=incarnation,
            refutation=refutation,
            subject=subject,
            probe=probe,
        )
        self.take(self.swim.on_datagram(arrived, now=self.now))

    @rule(node=nodes, incarnation=small)
    def heard(self, node: NodeId, incarnation: int) -> None:
        # A link shows who lives, also where gossip spoke of a later incarnation, which nobody lives.
        self.linked[node] = max(self.linked.get(node, 0), incarnation)
        self.take(self.swim.on_heard(node, Incarnation(incarnation), now=self.now))

    @rule(steps=st.integers(1, 40))
    def deadlines(self, steps: int) -> None:
        for _ in range(steps):
            due = self.swim.next_deadline()
            assert due is not None
            self.now = max(self.now, due)
            self.take(self.swim.on_deadline(now=self.now))
            self.swim.check_invariants()

    @rule(seconds=st.floats(0, 100))
    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.swim.on_deadline(now=self.now))

    @invariant()
    def holds(self) -> None:
        self.swim.check_invariants()
        for node, (state, incarnation) in self.told.items():
            member = self.swim.roster.members[node]
            assert (member.state, member.incarnation) == (state, incarnation)


TestSwimMachine = SwimMachine.TestCase
