import pytest

from config.model import TimersConfig
from heartbeat.detector import TimeoutDetector
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict

A, B = NodeId(1), NodeId(2)
LIFE, NEXT_LIFE = Incarnation(100), Incarnation(200)
TIMERS = TimersConfig(suspect_seconds=3, down_seconds=6)


def new_detector(*nodes: NodeId, timers: TimersConfig = TIMERS) -> TimeoutDetector:
    return TimeoutDetector(nodes, timers, now=0)


def states(verdicts: list[Verdict]) -> list[tuple[NodeId, NodeState]]:
    return [(verdict.node, verdict.state) for verdict in verdicts]


def test_the_first_sign_of_life_makes_a_node_up() -> None:
    detector = new_detector(A)
    assert detector.on_heard(A, LIFE, now=1) == [Verdict(A, NodeState.UP, LIFE, "heard")]
    assert detector.on_heard(A, LIFE, now=2) == []


def test_silence_makes_a_node_suspect_and_then_down() -> None:
    detector = new_detector(A)
    detector.on_heard(A, LIFE, now=1)
    assert detector.next_deadline() == 4
    assert detector.on_deadline(now=3.9) == []
    silent = Verdict(A, NodeState.SUSPECT, LIFE, "silent for 3.0 s")
    assert detector.on_deadline(now=4) == [silent]
    assert detector.next_deadline() == 7
    assert detector.on_deadline(now=6.9) == []
    assert detector.on_deadline(now=7) == [Verdict(A, NodeState.DOWN, LIFE, "silent for 6.0 s")]
    assert detector.next_deadline() is None
    assert detector.on_deadline(now=99) == []


@pytest.mark.parametrize("silence_seconds", [4, 7], ids=["suspect", "down"])
def test_any_sign_of_life_makes_a_node_up_again(silence_seconds: int) -> None:
    detector = new_detector(A)
    detector.on_heard(A, LIFE, now=0)
    for now in range(1, silence_seconds + 1):
        detector.on_deadline(now=now)
    back = detector.on_heard(A, LIFE, now=silence_seconds)
    assert states(back) == [(A, NodeState.UP)]
    assert detector.next_deadline() == silence_seconds + 3


def test_a_node_never_heard_is_down_without_suspicion() -> None:
    detector = new_detector(A)
    assert detector.next_deadline() == 6
    assert detector.on_deadline(now=5.9) == []
    down = detector.on_deadline(now=6)
    assert down == [Verdict(A, NodeState.DOWN, None, "silent for 6.0 s")]


def test_a_new_incarnation_is_reported_though_the_node_was_up() -> None:
    detector = new_detector(A)
    detector.on_heard(A, LIFE, now=1)
    again = Verdict(A, NodeState.UP, NEXT_LIFE, "started again")
    assert detector.on_heard(A, NEXT_LIFE, now=2) == [again]


def test_an_older_incarnation_is_no_sign_of_life() -> None:
    detector = new_detector(A)
    detector.on_heard(A, NEXT_LIFE, now=1)
    assert detector.on_heard(A, LIFE, now=3) == []
    assert detector.next_deadline() == 4
    assert detector.statistics().stale_total == 1


def test_each_node_is_judged_by_its_own_silence() -> None:
    detector = new_detector(A, B)
    detector.on_heard(A, LIFE, now=0)
    detector.on_heard(B, LIFE, now=2)
    assert states(detector.on_deadline(now=3)) == [(A, NodeState.SUSPECT)]
    assert states(detector.on_deadline(now=5)) == [(B, NodeState.SUSPECT)]


def test_nobody_is_judged_by_our_own_sleep() -> None:
    detector = new_detector(A, B)
    detector.on_heard(A, LIFE, now=0)
    detector.on_heard(B, LIFE, now=0)
    assert detector.on_deadline(now=6.1) == [], "3.1 s late: it was we who slept"
    assert detector.statistics().stalls_total == 1
    assert detector.next_deadline() == 9.1
    assert states(detector.on_deadline(now=9.1)) == [(A, NodeState.SUSPECT), (B, NodeState.SUSPECT)]
    assert detector.statistics().stalls_total == 1


def test_a_little_late_is_still_on_time() -> None:
    detector = new_detector(A)
    detector.on_heard(A, LIFE, now=0)
    assert states(detector.on_deadline(now=5.9)) == [(A, NodeState.SUSPECT)]
    assert detector.statistics().stalls_total == 0


def test_a_sleep_seen_after_one_node_was_heard_still_spares_the_others() -> None:
    detector = new_detector(A, B)
    detector.on_heard(A, LIFE, now=0)
    detector.on_heard(B, LIFE, now=0)
    detector.on_heard(A, LIFE, now=20)
    assert detector.on_deadline(now=20) == []
    assert detector.statistics().nodes[NodeState.UP] == 2


def test_our_sleep_brings_back_nobody() -> None:
    detector = new_detector(A, B)
    detector.on_deadline(now=6)
    detector.on_heard(B, LIFE, now=7)
    detector.on_deadline(now=20)
    nodes = detector.statistics().nodes
    assert (nodes[NodeState.DOWN], nodes[NodeState.UP]) == (1, 1)


def test_alone_there_is_nothing_to_wait_for() -> None:
    detector = new_detector()
    assert detector.next_deadline() is None
    assert detector.on_deadline(now=100) == []
    detector.check_invariants()


def test_statistics_count_what_happened() -> None:
    detector = new_detector(A, B)
    detector.on_heard(A, LIFE, now=1)
    detector.on_heard(A, LIFE, now=2)
    detector.on_deadline(now=6)
    counted = detector.statistics()
    assert (counted.heard_total, counted.verdicts_total) == (2, 3)
    assert counted.nodes[NodeState.SUSPECT] == counted.nodes[NodeState.DOWN] == 1
    assert sum(counted.nodes.values()) == 2


def test_timers_that_make_no_sense_are_a_bug_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        new_detector(A, timers=TimersConfig(suspect_seconds=3, down_seconds=3))


def test_members_come_and_go() -> None:
    detector = new_detector(A)
    detector.on_heard(A, LIFE, now=1)
    detector.on_members_changed([A, B], now=2)
    assert detector.next_deadline() == 4, "what is known of those that stay, stays"
    assert detector.on_heard(A, LIFE, now=5) == []
    assert detector.on_deadline(now=8) == [
        Verdict(A, NodeState.SUSPECT, LIFE, "silent for 3.0 s"),
        Verdict(B, NodeState.DOWN, None, "silent for 6.0 s"),
    ]
    detector.on_members_changed([B], now=9)
    assert detector.next_deadline() is None
    detector.check_invariants()
