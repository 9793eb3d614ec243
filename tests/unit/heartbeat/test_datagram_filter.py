from itertools import pairwise

import pytest

from heartbeat.datagram import Datagram, cluster_digest
from heartbeat.datagram_filter import (
    DatagramFilter,
    Drop,
    DropReason,
    first_counter,
)
from heartbeat.routes import Endpoint, Routes, written_endpoints
from heartbeat.seal import MAC_BYTES, WINDOW_DATAGRAMS, ReplayWindow
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import ATTACH_COUNT_MAX
from tests.helpers.clusters import cluster_of
from tests.helpers.heartbeat_messages import message

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
INCARNATION = Incarnation(1)


def endpoint(node: int) -> Endpoint:
    return ("127.0.0.1", 7700 + node)


def made_filter(local: int, key: bytes | None, attach_count: int = 0) -> DatagramFilter:
    routes = Routes(written_endpoints(cluster_of(3), NodeId(local)))
    return DatagramFilter("test", NodeId(local), routes, key, attach_count=attach_count)


def filter_of(local: int = 0, key: bytes | None = KEY) -> DatagramFilter:
    return made_filter(local, key)


def reason(found: object) -> DropReason | None:
    return found.reason if isinstance(found, Drop) else None


@pytest.mark.parametrize("key", [None, KEY])
def test_a_datagram_of_a_member_counts_once(key: bytes | None) -> None:
    ours, theirs = filter_of(0, key), filter_of(1, key)
    data = theirs.close(message(1))
    assert ours.admit(data, endpoint(1)) == message(1)
    assert reason(ours.admit(data, endpoint(1))) is DropReason.REPLAYED


def test_datagrams_that_overtake_each_other_all_count() -> None:
    ours, theirs = filter_of(0), filter_of(1)
    for data in reversed([theirs.close(message(1)) for _ in range(50)]):
        assert reason(ours.admit(data, endpoint(1))) is None


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_without_our_key_nothing_counts(key: bytes | None) -> None:
    data = filter_of(1, key).close(message(1))
    assert reason(filter_of(0).admit(data, endpoint(1))) is DropReason.BAD_MAC


def test_any_flipped_bit_breaks_the_mac() -> None:
    ours, data = filter_of(0), filter_of(1).close(message(1))
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert reason(ours.admit(bytes(flipped), endpoint(1))) is DropReason.BAD_MAC


def test_a_datagram_for_another_node_does_not_count() -> None:
    data = filter_of(1).close(message(1, target=2))
    assert reason(filter_of(0).admit(data, endpoint(1))) is DropReason.WRONG_TARGET


def test_a_process_that_goes_on_as_the_same_incarnation_is_no_replay() -> None:
    ours, before = filter_of(0), filter_of(1)
    late = before.close(message(1))
    for _ in range(2 * WINDOW_DATAGRAMS):
        assert reason(ours.admit(before.close(message(1)), endpoint(1))) is None
    after = made_filter(1, KEY, attach_count=1)
    assert reason(ours.admit(after.close(message(1)), endpoint(1))) is None
    assert reason(ours.admit(late, endpoint(1))) is DropReason.REPLAYED


def test_counters_of_a_process_begin_above_all_of_the_processes_before_it() -> None:
    counts = (0, 1, 2, ATTACH_COUNT_MAX)
    firsts = [first_counter(count) for count in counts]
    assert firsts[0] == 0
    assert all(after - before >= 1 << 40 for before, after in pairwise(firsts))
    assert firsts[-1] + (1 << 40) <= 1 << 64


def test_the_last_process_of_an_incarnation_can_say_something() -> None:
    last = made_filter(1, KEY, attach_count=ATTACH_COUNT_MAX)
    assert reason(filter_of(0).admit(last.close(message(1)), endpoint(1))) is None


def test_each_process_of_a_member_is_told_of_once() -> None:
    ours = filter_of(0)
    before = filter_of(1)
    late = before.close(message(1))
    for _ in range(2):
        ours.admit(before.close(message(1)), endpoint(1))
    assert ours.take_begun() == [NodeId(1)]
    after = made_filter(1, KEY, attach_count=1)
    forged = bytearray(after.close(message(1)))
    forged[-1] ^= 1
    ours.admit(bytes(forged), endpoint(1))
    assert ours.take_begun() == []
    for _ in range(2):
        ours.admit(after.close(message(1)), endpoint(1))
    ours.admit(late, endpoint(1))
    assert ours.take_begun() == [NodeId(1)]
    ours.admit(filter_of(1).close(message(1, incarnation=2)), endpoint(1))
    assert ours.take_begun() == [NodeId(1)]


def test_a_process_that_a_link_has_refuted_hides_no_other() -> None:
    ours = filter_of(0)
    ours.admit(filter_of(1).close(message(1, incarnation=9)), endpoint(1))
    assert ours.take_begun() == [NodeId(1)]
    ours.on_linked(NodeId(1), Incarnation(2))
    ours.admit(filter_of(1).close(message(1, incarnation=2)), endpoint(1))
    assert ours.take_begun() == [NodeId(1)]


def test_an_incarnation_that_is_over_stays_over() -> None:
    ours = filter_of(0)
    old = filter_of(1).close(message(1, incarnation=1))
    assert reason(ours.admit(filter_of(1).close(message(1, incarnation=2)), endpoint(1))) is None
    assert reason(ours.admit(old, endpoint(1))) is DropReason.STALE_INCARNATION


def test_strangers_other_names_other_clusters_and_garbage_do_not_count() -> None:
    ours = filter_of(0, None)
    assert reason(ours.admit(b"", ("127.0.0.1", 9))) is DropReason.UNKNOWN_SOURCE
    assert reason(ours.admit(b"garbage", endpoint(1))) is DropReason.MALFORMED
    assert (
        reason(ours.admit(filter_of(1, None).close(message(2)), endpoint(1)))
        is DropReason.WRONG_NODE
    )
    elsewhere = Datagram(message=message(1), cluster=cluster_digest("other"), counter=1)
    assert reason(ours.admit(elsewhere.encode(), endpoint(1))) is DropReason.OTHER_CLUSTER


def test_a_mac_is_of_the_named_length() -> None:
    assert (
        len(filter_of(1).close(message(1))) - len(filter_of(1, None).close(message(1))) == MAC_BYTES
    )


def test_the_window_ends_where_its_name_says() -> None:
    window = ReplayWindow()
    assert window.admit(INCARNATION, WINDOW_DATAGRAMS + 1)
    assert window.admit(INCARNATION, 2)
    assert not window.admit(INCARNATION, 1)
    assert not window.admit(INCARNATION, 2)
    assert window.admit(INCARNATION, (1 << 64) - 1)
    assert not window.admit(INCARNATION, WINDOW_DATAGRAMS + 1)


def test_the_window_of_a_newer_incarnation_begins_anew_and_lets_the_older_one_in_no_more() -> None:
    window = ReplayWindow()
    assert window.admit(INCARNATION, 500)
    assert window.admit(Incarnation(2), 1)
    assert not window.admit(INCARNATION, 501)
    assert not window.admit(Incarnation(2), 1)


def test_a_member_that_is_gone_is_not_let_in_and_a_new_one_is() -> None:
    routes = Routes({NodeId(1): [endpoint(1)]})
    ours, theirs = DatagramFilter("test", NodeId(0), routes, KEY), filter_of(1)
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None
    routes.on_changed({NodeId(2): [endpoint(2)]})
    ours.on_members_changed()
    dropped = ours.admit(theirs.close(message(1)), endpoint(1))
    assert reason(dropped) is DropReason.UNKNOWN_SOURCE
    routes.on_changed({NodeId(1): [endpoint(1)]})
    ours.on_members_changed()
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None


def test_a_member_that_is_heard_where_it_has_moved_to_is_told_once() -> None:
    routes = Routes({NodeId(1): [endpoint(1)]})
    ours, theirs = DatagramFilter("test", NodeId(0), routes, KEY), filter_of(1)
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None
    assert ours.take_begun() == [1]
    routes.on_changed({NodeId(1): [endpoint(9)]})
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None
    assert ours.take_begun() == []
    for _ in range(2):
        assert reason(ours.admit(theirs.close(message(1)), endpoint(9))) is None
    assert ours.take_begun() == [1]
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is DropReason.UNKNOWN_SOURCE


def test_while_the_name_of_a_member_has_no_address_a_source_may_be_that_member() -> None:
    routes = Routes({NodeId(1): []})
    ours, theirs = DatagramFilter("test", NodeId(0), routes, KEY), filter_of(1)
    dropped = ours.admit(theirs.close(message(1)), endpoint(1))
    assert reason(dropped) is DropReason.UNRESOLVED_SOURCE
    routes.on_changed({NodeId(1): [endpoint(1)]})
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None
    assert reason(ours.admit(theirs.close(message(1)), endpoint(9))) is DropReason.UNKNOWN_SOURCE
    # The name is not found any more: its last addresses count on, so nothing is open.
    routes.on_changed({NodeId(1): []})
    assert reason(ours.admit(theirs.close(message(1)), endpoint(9))) is DropReason.UNKNOWN_SOURCE


def test_any_address_of_a_member_is_let_in_and_only_what_counts_is_answered_there() -> None:
    six = ("fd00::1", 7701)
    routes = Routes({NodeId(1): [endpoint(1), six]})
    ours, theirs = DatagramFilter("test", NodeId(0), routes, KEY), filter_of(1)
    assert reason(ours.admit(filter_of(1, OTHER_KEY).close(message(1)), six)) is DropReason.BAD_MAC
    assert routes.target(NodeId(1)) == endpoint(1)
    assert reason(ours.admit(theirs.close(message(1)), six)) is None
    assert routes.target(NodeId(1)) == six
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is None


def test_while_the_key_changes_both_count_and_then_only_the_new_one() -> None:
    ours, with_old, with_new = filter_of(0), filter_of(1), filter_of(1, OTHER_KEY)
    assert ours.on_key_changed(OTHER_KEY)
    assert reason(ours.admit(with_old.close(message(1, incarnation=1)), endpoint(1))) is None
    assert reason(ours.admit(with_new.close(message(1, incarnation=2)), endpoint(1))) is None
    to_one = ours.close(message(0, 1))
    assert reason(with_old.admit(to_one, endpoint(0))) is DropReason.BAD_MAC
    assert reason(with_new.admit(to_one, endpoint(0))) is None
    ours.forget_previous_key()
    stale = with_old.close(message(1, incarnation=3))
    assert reason(ours.admit(stale, endpoint(1))) is DropReason.BAD_MAC
    assert reason(ours.admit(with_new.close(message(1, incarnation=2)), endpoint(1))) is None


def test_the_same_key_again_is_no_change() -> None:
    ours, with_old = filter_of(0, OTHER_KEY), filter_of(1)
    assert not ours.on_key_changed(OTHER_KEY)
    assert reason(ours.admit(with_old.close(message(1)), endpoint(1))) is DropReason.BAD_MAC


def test_of_three_keys_the_oldest_does_not_count() -> None:
    ours = filter_of(0)
    ours.on_key_changed(OTHER_KEY)
    ours.on_key_changed(bytes([7]) * 32)
    old = filter_of(1).close(message(1))
    assert reason(ours.admit(old, endpoint(1))) is DropReason.BAD_MAC
    assert reason(ours.admit(filter_of(1, OTHER_KEY).close(message(1)), endpoint(1))) is None


@pytest.mark.parametrize("length", [0, 1, MAC_BYTES - 1, MAC_BYTES])
def test_what_is_shorter_than_a_mac_has_none(length: int) -> None:
    assert reason(filter_of(0).admit(bytes(length), endpoint(1))) is DropReason.BAD_MAC


def test_a_forged_later_incarnation_counts_until_a_link_shows_the_real_one() -> None:
    """A member has the key, and may send from another's address."""
    ours, theirs = filter_of(0), filter_of(1)
    forged = filter_of(1).close(message(1, incarnation=99))
    assert reason(ours.admit(forged, endpoint(1))) is None
    assert reason(ours.admit(theirs.close(message(1)), endpoint(1))) is DropReason.STALE_INCARNATION
    ours.on_linked(NodeId(1), INCARNATION)
    real = theirs.close(message(1))
    assert reason(ours.admit(real, endpoint(1))) is None
    ours.on_linked(NodeId(1), INCARNATION)
    assert reason(ours.admit(real, endpoint(1))) is DropReason.REPLAYED
