import math

import pytest

from heartbeat.gossip import Gossip
from nodemanager.ids import NodeId
from tests.helpers.heartbeat_messages import SUSPECT, UP, row


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


@pytest.mark.parametrize("members", [2, 9, 10, 99, 512])
def test_how_often_grows_with_the_logarithm_of_the_cluster(members: int) -> None:
    gossip = Gossip(multiplier=4, members=members)
    gossip.push(row(1, UP))
    told = 0
    while gossip.take(1):
        told += 1
    assert told == 4 * math.ceil(math.log10(members + 1))


def test_a_node_that_is_no_member_is_not_told_of() -> None:
    gossip = Gossip(multiplier=2, members=5)
    gossip.push(row(1, UP))
    gossip.push(row(2, UP))
    gossip.on_members_changed([NodeId(0), NodeId(2)])
    assert gossip.take(9) == [row(2, UP)]


def test_in_a_smaller_cluster_news_that_was_told_enough_is_told_no_more() -> None:
    gossip = Gossip(multiplier=1, members=500)
    gossip.push(row(1, UP))
    gossip.take(1)
    gossip.on_members_changed([NodeId(0), NodeId(1)])
    gossip.check_invariants()
    assert gossip.take(9) == []
