import pytest

from ramsterd.frontends.pager.operations import NEWEST, Operation
from ramsterd.frontends.pager.order import Order
from tests.helpers.pager_operations import OBJECT, OTHER, POOL, make_patch, make_put, make_take


def stand(order: Order, *operations: Operation) -> None:
    for operation in operations:
        order.add(operation)
    order.check_invariants(list(operations))


def test_a_page_is_struck_out_of_all_that_came_before_it() -> None:
    order = Order()
    first, second = make_put(1, 10, 10), make_put(2, 12, 4)
    elsewhere = make_put(3, 10, 10, OTHER)
    stand(order, first, second, elsewhere)
    assert order.strike(POOL, OBJECT, 13, 2, newest=NEWEST) == [first, second]
    assert first.rest == [range(10, 13), range(15, 20)]
    assert second.rest == [range(12, 13), range(15, 16)]
    assert elsewhere.rest == [range(10, 20)]
    order.check_invariants([first, second, elsewhere])


def test_what_came_later_stays() -> None:
    order = Order()
    first, second, third = make_put(1, 10, 2), make_put(2, 10, 2), make_put(3, 10, 2)
    stand(order, first, second, third)
    assert order.strike(POOL, OBJECT, 10, 2, newest=2) == [first, second]
    assert (first.rest, second.rest, third.rest) == ([], [], [range(10, 12)])
    order.check_invariants([third])


@pytest.mark.parametrize("count", [3, 1 << 40])
def test_a_long_run_costs_what_stands_there(count: int) -> None:
    order = Order()
    put = make_put(1, 5, 2)
    stand(order, put)
    assert order.strike(POOL, OBJECT, 4, count, newest=NEWEST) == [put]
    assert order.strike(POOL, OBJECT, 4, count, newest=NEWEST) == []
    assert order.strike(POOL, b"nobody's", 4, count, newest=NEWEST) == []


def test_the_turn_of_a_patch_comes_when_the_write_before_it_is_over() -> None:
    order = Order()
    put, patch = make_put(1, 4, 4), make_patch(2, 5, is_behind=True)
    last = make_patch(3, 5, is_behind=True)
    assert not order.has_write(POOL, OBJECT, 5)
    stand(order, put, patch, last)
    assert order.has_write(POOL, OBJECT, 5)
    assert not order.has_write(POOL, OBJECT, 8)
    order.strike(POOL, OBJECT, 4, 1, newest=1)
    assert order.next_patches == []
    order.remove(put)
    assert order.next_patches == [patch]
    assert last.is_behind
    order.remove(patch)
    assert order.next_patches == [patch, last]
    order.check_invariants([last])


def test_a_take_holds_up_no_patch_and_is_no_write() -> None:
    order = Order()
    take, patch = make_take(1, 4, 4), make_patch(2, 5, is_behind=False)
    stand(order, take, patch)
    assert order.strike(POOL, OBJECT, 5, 1, newest=2) == [take, patch]
    assert take.rest == [range(4, 5), range(6, 8)]
    assert not order.has_write(POOL, OBJECT, 5)
    order.check_invariants([take])
