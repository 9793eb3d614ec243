"""What differs between two memberships, and whether ours was known where a newer one was made."""

from dataclasses import replace

import pytest

from config.model import ClusterConfig, NodeConfig
from nodemanager.changes import (
    ANCESTORS_MAX,
    Add,
    AlreadySo,
    Change,
    ChangeRefused,
    Cordon,
    Drain,
    MembershipHistory,
    Move,
    Remove,
    Said,
    Version,
    describe,
)
from nodemanager.ids import NodeId
from nodemanager.member_differences import DIFFERENCES_SHOWN_MAX, differences
from tests.helpers.clusters import cluster_of


def of_version(number: int, origin: int, nodes: int = 3) -> ClusterConfig:
    return replace(cluster_of(nodes), membership_version=number, membership_origin=origin)


def test_differences_name_members_and_values() -> None:
    old = cluster_of(2)
    first, second = old.node
    third = NodeConfig(number=30, name="new", address="127.0.0.3")
    new = replace(old, node=(replace(first, cordoned=True, port=9), third))
    assert differences(old, new) == (
        f"{second.name} ({second.number}) is gone;"
        f" port of {first.name} ({first.number}) is 9, was {first.port};"
        f" {first.name} ({first.number}) is cordoned;"
        " new (30) is new"
    )
    assert differences(replace(old, node=new.node[:1]), replace(old, node=old.node[:1])) == (
        f"port of {first.name} ({first.number}) is {first.port}, was 9;"
        f" {first.name} ({first.number}) is no longer cordoned"
    )
    assert differences(old, old) == ""


def test_many_differences_are_cut() -> None:
    told = differences(cluster_of(1), cluster_of(DIFFERENCES_SHOWN_MAX + 5))
    assert told.count(" is new") == DIFFERENCES_SHOWN_MAX
    assert told.endswith("; and 4 more")


@pytest.mark.parametrize(
    ("version", "ancestors", "is_unknown"),
    [
        ((3, 2), [(1, 1), (2, 2)], True),
        ((3, 2), [(1, 1), (2, 1)], False),
        ((2, 1), [(1, 1)], False),
        ((1, 2), [(0, 0)], False),
        ((99, 2), [(number, 2) for number in range(99 - ANCESTORS_MAX, 99)], False),
    ],
    ids=["made without it", "made on top of it", "the same", "older", "too far ahead to tell"],
)
def test_a_newer_membership_that_did_not_know_ours(
    version: tuple[int, int], ancestors: list[tuple[int, int]], is_unknown: bool
) -> None:
    history = MembershipHistory(of_version(2, 1), NodeId(1))
    said = Said(Version(*version), tuple(Version(*each) for each in ancestors), cluster_of(3).node)
    assert history.is_unknown_to(said) is is_unknown


def test_changes_of_this_incarnation_are_made_again_and_need_no_word() -> None:
    history = MembershipHistory(of_version(1, 1), NodeId(1))
    change = Cordon(NodeId(2), is_cordoned=True)
    history.commit(change, history.propose(change))
    said = Said(Version(2, 2), (Version(1, 1),), cluster_of(3).node)
    assert not history.is_unknown_to(said)


def test_an_old_change_is_not_made_again_by_a_node_that_was_away_for_long() -> None:
    """All took it over at once; then so much changed that the ancestors reach back to it no more."""
    away, other = (MembershipHistory(of_version(1, 1), NodeId(number)) for number in (1, 2))
    cordon = Cordon(NodeId(0), is_cordoned=True)
    away.commit(cordon, away.propose(cordon))
    assert other.on_said(away.say()) is not None
    for number in range(ANCESTORS_MAX + 1):
        change = Cordon(NodeId(0), is_cordoned=bool(number % 2))
        other.commit(change, other.propose(change))
    assert not other.cluster.node[0].cordoned
    adopted = away.on_said(other.say())
    assert adopted is not None
    assert adopted.made_again == ()
    assert [change for change, _ in adopted.given_up] == [cordon], "said, for it may be unknown too"
    assert away.cluster == other.cluster


def test_a_change_reads_as_it_was_asked_for() -> None:
    changes: list[Change] = [
        Add(NodeConfig(number=4, name="delta", address="127.0.0.1")),
        Remove(NodeId(3)),
        Cordon(NodeId(3), is_cordoned=True),
        Cordon(NodeId(3), is_cordoned=False),
        Drain(NodeId(3)),
        Move(NodeId(3), "10.0.0.9", 7701),
    ]
    assert [describe(change, lambda number: f"n{number}") for change in changes] == [
        "add delta",
        "remove n3",
        "cordon n3",
        "uncordon n3",
        "drain n3",
        "set n3 --address 10.0.0.9 --port 7701",
    ]


def test_a_member_that_moves_stays_what_it_is_otherwise() -> None:
    history = MembershipHistory(cluster_of(3), NodeId(0))
    drain = Drain(NodeId(2))
    history.commit(drain, history.propose(drain))
    before = history.cluster.node[2]
    move = Move(NodeId(2), "127.0.0.9", 7702)
    history.commit(move, history.propose(move))
    after = history.cluster.node[2]
    assert after == replace(before, address="127.0.0.9")
    assert "address of node2 (2) is '127.0.0.9', was '127.0.0.1'" in differences(
        cluster_of(3), history.cluster
    )
    with pytest.raises(AlreadySo, match=r"node2 is at 127\.0\.0\.9:7702 already"):
        history.propose(move)


def test_a_move_to_the_place_of_another_member_breaks_a_rule() -> None:
    history = MembershipHistory(cluster_of(3), NodeId(0))
    with pytest.raises(ChangeRefused, match="which is the address and port of node1 too"):
        history.propose(Move(NodeId(2), "127.0.0.1", 7701))
    with pytest.raises(ChangeRefused, match="expected a loopback address"):
        history.propose(Move(NodeId(2), "192.0.2.1", 7701))
