from heartbeat.awareness import Awareness
from heartbeat.gossip import Gossip
from heartbeat.knobs import Knobs
from heartbeat.suspicion import begin_suspicion
from nodemanager.ids import NodeId
from tests.unit.heartbeat.messages import SUSPECT, UP, row

A, B, C, D = (NodeId(number) for number in range(4))


def test_confirmations_shorten_a_suspicion_down_to_its_least() -> None:
    suspicion = begin_suspicion(A, live=10, probe_seconds=1, knobs=Knobs(), now=100)
    assert suspicion.deadline(is_in_doubt=False) == 124
    assert suspicion.confirm(B)
    assert 104 < suspicion.deadline(is_in_doubt=False) < 124
    assert suspicion.confirm(C)
    assert suspicion.deadline(is_in_doubt=False) == 104
    assert suspicion.deadline(is_in_doubt=True) == 124


def test_an_accuser_counts_once_and_no_more_than_needed_count() -> None:
    suspicion = begin_suspicion(A, live=10, probe_seconds=1, knobs=Knobs(), now=0)
    assert [suspicion.confirm(node) for node in (A, B, B, C, D)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_too_few_others_to_confirm_leave_the_least_time() -> None:
    suspicion = begin_suspicion(A, live=3, probe_seconds=1, knobs=Knobs(), now=0)
    assert suspicion.deadline(is_in_doubt=False) == 4


def test_the_health_multiplier_stays_within_its_limits() -> None:
    awareness = Awareness(8)
    awareness.on_good()
    assert awareness.multiplier == 1
    awareness.on_bad(100)
    assert awareness.multiplier == 8
    awareness.on_good()
    assert awareness.multiplier == 7


def test_news_is_told_a_bounded_number_of_times_and_the_newest_of_a_node_only() -> None:
    gossip = Gossip(multiplier=2, members=5)
    gossip.push(row(1, UP))
    gossip.push(row(1, SUSPECT))
    gossip.push(row(2, UP))
    assert gossip.take(1) == [row(2, UP)]
    assert gossip.take(1) == [row(1, SUSPECT)]
    assert len(gossip.take(9)) == 2
    assert gossip.take(9) == []
    assert not len(gossip)
