import pytest

from heartbeat.datagram import Beat, cluster_digest
from heartbeat.door import Door, Drop, DropReason, Endpoint, is_loopback, normal_endpoint
from nodemanager.ids import Incarnation, NodeId
from tests.unit.nodemanager.clusters import cluster_of

PEER: Endpoint = ("127.0.0.1", 7701)


def beat(
    sequence: int = 1, *, incarnation: int = 100, node: int = 1, cluster: str = "test"
) -> Beat:
    return Beat(
        cluster=cluster_digest(cluster),
        node=NodeId(node),
        incarnation=Incarnation(incarnation),
        sequence=sequence,
    )


def new_door() -> Door:
    return Door(cluster_of(3), NodeId(0))


def reason(door: Door, sent: Beat | bytes, source: Endpoint = PEER) -> DropReason | None:
    admitted = door.admit(sent if isinstance(sent, bytes) else sent.encode(), source)
    return admitted.reason if isinstance(admitted, Drop) else None


def test_a_beat_of_a_member_counts() -> None:
    assert new_door().admit(beat().encode(), PEER) == beat()


@pytest.mark.parametrize(
    "source",
    [("127.0.0.1", 9999), ("127.0.0.2", 7701), ("127.0.0.1", 7700)],
    ids=["other port", "other address", "ourselves"],
)
def test_a_beat_from_elsewhere_does_not_count(source: Endpoint) -> None:
    assert reason(new_door(), beat(), source) is DropReason.UNKNOWN_SOURCE


def test_bytes_that_are_no_beat_do_not_count() -> None:
    assert reason(new_door(), b"hello") is DropReason.MALFORMED


def test_a_beat_of_another_cluster_does_not_count() -> None:
    assert reason(new_door(), beat(cluster="other")) is DropReason.OTHER_CLUSTER


def test_a_member_can_not_speak_for_another() -> None:
    assert reason(new_door(), beat(node=2)) is DropReason.WRONG_NODE


def test_repeated_and_late_beats_of_one_life_do_not_count() -> None:
    door = new_door()
    assert reason(door, beat(5)) is None
    assert reason(door, beat(5)) is DropReason.STALE_SEQUENCE
    assert reason(door, beat(4)) is DropReason.STALE_SEQUENCE
    assert reason(door, beat(6)) is None


def test_a_new_life_counts_its_beats_anew_and_ends_the_old_one() -> None:
    door = new_door()
    assert reason(door, beat(5)) is None
    assert reason(door, beat(1, incarnation=200)) is None
    assert reason(door, beat(6)) is DropReason.STALE_INCARNATION


def test_members_are_counted_each_for_itself() -> None:
    door = new_door()
    assert reason(door, beat(5)) is None
    assert reason(door, beat(1, node=2), ("127.0.0.1", 7702)) is None


def test_what_did_not_count_leaves_no_trace() -> None:
    door = new_door()
    reason(door, beat(9, cluster="other"))
    reason(door, beat(9, incarnation=900, node=2))
    assert reason(door, beat(1)) is None


def test_endpoints_compare_however_they_were_written() -> None:
    assert normal_endpoint("0:0::1", 7) == ("::1", 7)
    assert normal_endpoint("::ffff:127.0.0.1", 7) == ("127.0.0.1", 7)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_known(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"])  # noqa: S104 - not bound
def test_what_others_can_reach_is_not_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_a_host_name_is_not_an_address() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_loopback("localhost")


def test_a_member_that_is_gone_is_not_let_in_and_a_new_one_is() -> None:
    door = new_door()
    assert reason(door, beat(sequence=7)) is None
    door.on_members_changed({NodeId(2): ("127.0.0.1", 7702)})
    assert reason(door, beat(sequence=8)) is DropReason.UNKNOWN_SOURCE
    door.on_members_changed({NodeId(1): PEER, NodeId(9): ("127.0.0.1", 7709)})
    assert reason(door, beat(sequence=1)) is None, "it begins anew"
    assert reason(door, beat(node=9), ("127.0.0.1", 7709)) is None
