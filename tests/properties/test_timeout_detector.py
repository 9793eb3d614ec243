"""The timeout detector under any order of beats, ticks and sleeps."""

import itertools

from hypothesis import given, strategies as st

from config.model import TimersConfig
from heartbeat.detector import TimeoutDetector
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict

TIMERS = TimersConfig(suspect_seconds=3, down_seconds=6)
NODES = [NodeId(1), NodeId(2), NodeId(3)]
LIFE = Incarnation(1)

# One step: who is heard (None: nobody, a tick), in which life, and how much later.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, *NODES]),
        st.integers(1, 3).map(Incarnation),
        st.one_of(st.floats(0, 2), st.floats(0, 20)),
    ),
    max_size=60,
)


class Judge:
    """Calls a detector, and checks each verdict against the one before."""

    def __init__(self) -> None:
        self.detector = TimeoutDetector(NODES, TIMERS, now=0)
        self.last: dict[NodeId, tuple[NodeState, Incarnation | None]] = dict.fromkeys(
            NODES, (NodeState.JOINING, None)
        )
        self.verdicts = 0

    def heard(self, node: NodeId, incarnation: Incarnation, *, now: float) -> None:
        self.take(self.detector.on_heard(node, incarnation, now=now))

    def tick(self, *, now: float) -> None:
        self.take(self.detector.on_deadline(now=now))

    def take(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            _, known = self.last[verdict.node]
            told = (verdict.state, verdict.incarnation)
            assert told != self.last[verdict.node], "a verdict that changes nothing"
            if known is not None:
                assert verdict.incarnation is not None
                assert verdict.incarnation >= known, "an older life came back"
            if verdict.state is not NodeState.UP:
                assert verdict.incarnation == known, "a life that was never heard fell silent"
            self.last[verdict.node] = told
        self.verdicts += len(verdicts)
        self.detector.check_invariants()
        counted = self.detector.statistics()
        assert counted.verdicts_total == self.verdicts
        for state in NodeState:
            assert counted.nodes[state] == [s for s, _ in self.last.values()].count(state)


@given(STEPS)
def test_verdicts_only_change_what_was_said_before(
    steps: list[tuple[NodeId | None, Incarnation, float]],
) -> None:
    judge, now = Judge(), 0.0
    for node, incarnation, later in steps:
        now += later
        if node is None:
            judge.tick(now=now)
        else:
            judge.heard(node, incarnation, now=now)


@given(STEPS)
def test_after_a_deadline_was_judged_the_next_one_lies_ahead(
    steps: list[tuple[NodeId | None, Incarnation, float]],
) -> None:
    """Else the shell would spin."""
    judge, now = Judge(), 0.0
    for node, incarnation, later in steps:
        now += later
        if node is not None:
            judge.heard(node, incarnation, now=now)
        judge.tick(now=now)
        deadline = judge.detector.next_deadline()
        assert deadline is None or deadline > now


@given(st.lists(st.floats(0.01, 2.9), min_size=1, max_size=60), st.floats(0.05, 1.0))
def test_a_node_that_beats_on_time_is_never_suspected(
    pauses: list[float], tick_seconds: float
) -> None:
    judge, now = Judge(), 0.0
    judge.heard(NODES[0], LIFE, now=now)
    for pause in pauses:
        next_beat = now + pause
        while now + tick_seconds < next_beat:
            now += tick_seconds
            judge.tick(now=now)
        now = next_beat
        judge.heard(NODES[0], LIFE, now=now)
        assert judge.last[NODES[0]] == (NodeState.UP, LIFE)


@given(
    st.lists(st.floats(0.01, 2.0), max_size=20),
    st.lists(st.floats(0.05, 2.9), min_size=1, max_size=8),
)
def test_silence_ends_in_down_within_its_time_and_one_tick(
    beats: list[float], ticks: list[float]
) -> None:
    judge, now = Judge(), 0.0
    for pause in beats:
        now += pause
        judge.tick(now=now)
        for node in NODES:
            judge.heard(node, LIFE, now=now)
    silent_since = now
    for tick in itertools.cycle(ticks):
        if judge.detector.next_deadline() is None:
            break
        before, now = now, now + tick
        judge.tick(now=now)
        is_over = any(state is NodeState.DOWN for state, _ in judge.last.values())
        assert is_over == (now >= silent_since + TIMERS.down_seconds)
        assert before < silent_since + TIMERS.down_seconds
    assert {state for state, _ in judge.last.values()} == {NodeState.DOWN}
    assert judge.detector.statistics().stalls_total == 0


@given(st.lists(st.floats(3.1, 1000), min_size=1, max_size=10))
def test_however_often_we_sleep_it_puts_nobody_down(sleeps: list[float]) -> None:
    judge, now = Judge(), 0.0
    for node in NODES:
        judge.heard(node, LIFE, now=now)
    for seconds in sleeps:
        deadline = judge.detector.next_deadline()
        assert deadline is not None
        now = deadline + seconds
        judge.tick(now=now)
    assert {state for state, _ in judge.last.values()} == {NodeState.UP}
    assert judge.detector.statistics().stalls_total == len(sleeps)
