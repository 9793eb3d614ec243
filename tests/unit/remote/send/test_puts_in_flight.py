"""PUTs by request id: waited for, given up, or over."""

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolKind
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.send.puts_in_flight import PutsInFlight
from ramsterd.remote.send.shipment import Put, Shipment
from tests.helpers.made_leaving import make_leaving

ONE, OTHER = NodeId(1), NodeId(2)


def put_to(node: NodeId, pages: int = 2) -> Put:
    holder = Holder(int(node), node, Incarnation(1))
    rows = list(range(pages))
    leaving = make_leaving(1, rows, rows, rows, [10] * pages, bytes(10 * pages))
    return Put(Shipment(PoolKind.PERSISTENT, [leaving], (holder,)), holder)


def test_a_put_is_waited_for_until_its_request_is_over() -> None:
    puts, put = PutsInFlight(), put_to(ONE)
    puts.begin(7, put, 1.0)
    assert 7 in puts
    assert list(puts.waited) == [put]
    assert (puts.pages(7), puts.bytes_to(ONE), puts.count_pages()) == (2, 20, 2)
    assert puts.end(7) is put
    assert 7 not in puts
    puts.check_invariants()


def test_a_put_that_was_given_up_is_still_a_request() -> None:
    puts, put = PutsInFlight(), put_to(ONE)
    puts.begin(7, put, 1.0)
    assert puts.give_up(7) is put
    assert 7 in puts
    assert not puts.waited
    assert puts.pages(7) == 2
    assert puts.silent() == {ONE}
    puts.check_invariants()
    assert puts.end(7) is None
    assert not puts.silent()


def test_overdue_is_what_left_long_ago_and_is_waited_for() -> None:
    puts = PutsInFlight()
    for request_id, at in ((1, 1.0), (2, 2.0), (3, 3.0)):
        puts.begin(request_id, put_to(ONE), at)
    puts.give_up(1)
    assert list(puts.overdue(5.0, now=7.0)) == [2]


def test_who_is_overdue_next_is_asked_for_the_time_to_come() -> None:
    puts = PutsInFlight()
    assert puts.next_overdue(5.0, after=0.0) is None
    for request_id, at in ((1, 1.0), (2, 2.0)):
        puts.begin(request_id, put_to(ONE), at)
    assert puts.next_overdue(5.0, after=0.0) == 6.0
    assert puts.next_overdue(5.0, after=6.0) == 7.0
    assert puts.next_overdue(5.0, after=7.0) is None


def test_peers_are_counted_one_by_one() -> None:
    puts = PutsInFlight()
    for request_id, node in enumerate((ONE, ONE, OTHER)):
        puts.begin(request_id, put_to(node), 1.0)
    assert puts.busy() == [ONE, ONE, OTHER]
    assert puts.pages_by_node() == {ONE: 4, OTHER: 2}
    puts.give_up(2)
    assert puts.is_any_to(OTHER)
    assert not puts.is_waited_from(OTHER)
