"""A STATUS that says the same again: what counts as of no consequence has none, whatever went before.

An engine that is told that nothing follows from a frame gets the same one by the long way, too, and
must be as it was.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings, strategies as st

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from nodemanager.table import PeerStatus
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.effects import Effect, Send
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType, PutResult
from tests.helpers.made_engine import (
    INCARNATION,
    OBJECT,
    ONE,
    OTHER,
    MadeEngine,
    as_frame,
    sends,
)
from tests.helpers.made_pages import joined, make_run

PAGES = 450
node = st.sampled_from((ONE, OTHER))
step = st.one_of(
    st.tuples(st.just("hear"), node, st.sampled_from([0, 64]), st.sampled_from([0, 1, 400])),
    st.tuples(st.just("again"), node),
    st.tuples(st.just("again"), node),
    st.tuples(st.just("put"), st.sampled_from(list(PoolKind)), st.integers(0, PAGES)),
    st.tuples(st.just("answer"), st.sampled_from(list(PutResult)), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 3.0, 20.0])),
    st.tuples(st.just("lose"), node),
    st.tuples(st.just("link"), node),
    st.tuples(st.just("judge"), node, st.sampled_from([NodeState.SUSPECT, NodeState.UP])),
)


@dataclass
class Story:
    """One engine, and what its peers do."""

    made: MadeEngine = field(default_factory=lambda: MadeEngine(ephemeral=True))
    puts: list[Send] = field(default_factory=list)
    said: dict[NodeId, PeerStatus] = field(default_factory=dict)
    linked: set[NodeId] = field(default_factory=set)
    repetitions: int = 0

    def __post_init__(self) -> None:
        engine = self.made.engine
        cache = engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        self.pools = {PoolKind.PERSISTENT: self.made.disk, PoolKind.EPHEMERAL: cache}
        self.link(ONE)
        self.link(OTHER)

    def take(self, effects: list[Effect]) -> None:
        self.puts += sends(effects, MessageType.PUT_PAGES)

    def link(self, node: NodeId) -> None:
        if node not in self.linked:
            self.linked.add(node)
            self.made.engine.on_link_up(node, INCARNATION, now=self.made.now)
            self.hear(node, 64, 0)

    def lose(self, node: NodeId) -> None:
        if node in self.linked:
            self.linked.discard(node)
            for put in [put for put in self.puts if put.node == node]:
                self.puts.remove(put)
                self.made.engine.on_request_failed(put.request_id)
            self.made.engine.on_link_lost(node, INCARNATION, now=self.made.now)

    def put(self, kind: PoolKind, index: int) -> None:
        run = joined(make_run(PAGE_BYTES, 100, index + 1))
        self.made.engine.store.put(self.pools[kind], OBJECT, index, run)

    def answer(self, result: PutResult, which: int) -> None:
        if which < len(self.puts):
            self.take(self.made.answer_put(self.puts.pop(which), result))

    def fail(self, which: int) -> None:
        if which < len(self.puts):
            self.made.engine.on_request_failed(self.puts.pop(which).request_id)

    def wait(self, seconds: float) -> None:
        self.take(self.made.wait(seconds))

    def judge(self, node: NodeId, state: NodeState) -> None:
        self.made.judge(node, state)

    def hear(self, node: NodeId, free: int, held: int) -> None:
        self.said[node] = PeerStatus(
            budget_bytes=64 << 20,
            free_bytes=free << 20,
            is_accepting=free > 0,
            pressure=0.0,
            pages_held_for_us=held,
        )
        self.again(node)

    def again(self, node: NodeId) -> None:
        """A peer says what it said last."""
        if node not in self.linked:
            return
        self.take(self.made.settle())  # whatever went before has ended its pass
        engine, status = self.made.engine, self.said[node]
        frame = as_frame(Send(ONE, MessageType.STATUS, 1, wire.status_message(status)))
        if not engine.on_frame(node, INCARNATION, frame, now=self.made.now):
            self.repetitions += 1
            before = self.state()
            said = engine.nodes.status(node)
            assert said == status
            engine._states.on_status(node, said, self.made.now)
            assert self.state() == before
            assert not engine.machines.outbox.take()

    def state(self) -> list[object]:
        """Return all that a STATUS may change."""
        engine = self.made.engine
        candidates = engine.machines.remotifier.candidates
        seen = [candidates.all(kind) for kind in PoolKind]
        return [engine.statistics(), engine.nodes.statistics(), seen]


@settings(max_examples=60)
@given(steps=st.lists(step, max_size=25))
def test_what_counts_as_of_no_consequence_has_none(
    steps: list[tuple[str, object, object]],
) -> None:
    story = Story()
    for name, *arguments in steps:
        getattr(story, name)(*arguments)
        story.take(story.made.settle())
    story.made.engine.check_invariants()


def test_peers_at_rest_repeat_themselves() -> None:
    """So that the above says something: also with pages at them."""
    story = Story()
    for index in range(0, PAGES, 100):
        story.put(PoolKind.PERSISTENT, index)
        story.take(story.made.settle())
    while story.puts:
        story.answer(PutResult.STORED, 0)
    assert story.made.engine.pages_there(NodeId(0))
    for node in (ONE, OTHER):
        story.hear(node, 64, 400)
    assert not story.repetitions
    for count, node in enumerate((ONE, OTHER) * 2, 1):
        story.again(node)
        assert story.repetitions == count
