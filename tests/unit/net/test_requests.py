import pytest

from net.errors import LocalProtocolError
from net.requests import HEAP_SWEEP_MIN, REQUEST_ID_MAX, RequestTable


def make_table(in_flight_max: int = 3) -> RequestTable:
    return RequestTable(in_flight_max=in_flight_max)


def test_a_completed_request_never_expires() -> None:
    table = make_table()
    table.begin(1, 5.0)
    table.begin(2, 4.0)
    assert table.next_deadline() == 4.0
    assert table.complete(2)
    assert table.next_deadline() == 5.0
    assert table.expire(now=9.0) == [1]
    assert not table.complete(1)
    assert table.next_deadline() is None


def test_requests_expire_in_the_order_of_their_deadlines() -> None:
    table = make_table()
    for request_id, deadline in ((1, 3.0), (2, 1.0), (3, 2.0)):
        table.begin(request_id, deadline)
    assert table.expire(now=0.9) == []
    assert table.expire(now=2.0) == [2, 3]
    assert len(table) == 1


def test_an_id_used_again_has_its_new_deadline() -> None:
    table = make_table()
    table.begin(1, 1.0)
    table.complete(1)
    table.begin(1, 5.0)
    assert table.next_deadline() == 5.0
    assert table.expire(now=2.0) == []
    table.complete(1)
    table.begin(1, 5.0)
    assert table.expire(now=5.0) == [1]
    assert table.expire(now=5.0) == []


def test_the_window_is_the_callers_to_keep() -> None:
    table = make_table(in_flight_max=2)
    table.begin(1, 1.0)
    table.begin(2, 1.0)
    with pytest.raises(LocalProtocolError, match="more than 2 requests in flight"):
        table.begin(3, 1.0)
    table.complete(1)
    table.begin(3, 1.0)


@pytest.mark.parametrize("request_id", [0, -1, REQUEST_ID_MAX + 1])
def test_an_impossible_id_is_a_bug_of_ours(request_id: int) -> None:
    with pytest.raises(LocalProtocolError, match="request id"):
        make_table().begin(request_id, 1.0)


def test_an_id_in_use_is_a_bug_of_ours() -> None:
    table = make_table()
    table.begin(1, 1.0)
    with pytest.raises(LocalProtocolError, match="request id 1 is in use"):
        table.begin(1, 2.0)


def test_completed_requests_leave_no_growing_heap_and_hide_no_live_one() -> None:
    table = make_table()
    table.begin(1, 9999.0)
    for request_id in range(2, 2000):
        table.begin(request_id, float(request_id))
        table.complete(request_id)
        assert len(table._heap) <= HEAP_SWEEP_MIN + 5
        table.check_invariants()
    assert table.expire(now=9999.0) == [1]


def test_all_can_be_taken_at_once() -> None:
    table = make_table()
    table.begin(2, 1.0)
    table.begin(1, 1.0)
    assert table.take_all() == [2, 1]
    assert table.take_all() == []
    assert table.next_deadline() is None
