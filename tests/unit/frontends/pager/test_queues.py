from ramsterd.core.page import PoolId
from ramsterd.frontends.pager.operations import Put
from ramsterd.frontends.pager.queues import PASSED_BYTES_MAX, Queue, Queues
from tests.helpers.pager_operations import make_put

A, B, C = PoolId(1), PoolId(2), PoolId(3)


def put_of(pool: PoolId, number: int) -> Put:
    return make_put(number, number, 1, pool)


def fill(queues: Queues, *pools: PoolId) -> list[Put]:
    puts = [put_of(pool, number) for number, pool in enumerate(pools, 1)]
    for put in puts:
        queues.add(put)
    return puts


def take_turn(queues: Queues) -> Queue:
    queue = queues.next_turn()
    assert queue is not None
    return queue


def find_no_room(queues: Queues) -> PoolId:
    queue = take_turn(queues)
    queues.end_turn(queue, taken_bytes=0, is_stuck=True)
    return queue.pool


def serve_one(queues: Queues, taken_bytes: int = 0) -> PoolId:
    queue = take_turn(queues)
    queues.remove(queue.head)
    queues.end_turn(queue, taken_bytes=taken_bytes, is_stuck=False)
    return queue.pool


def test_pools_take_turns_and_within_one_it_is_first_come_first_served() -> None:
    queues = Queues()
    first, second, *_ = fill(queues, A, A, A, B, C, B)
    assert (len(queues), queues.pools) == (6, 3)
    assert take_turn(queues).head is first
    queues = Queues()
    fill(queues, A, A, A, B, C, B)
    assert [serve_one(queues) for _ in range(6)] == [A, B, C, A, B, A]
    assert not queues
    assert queues.next_turn() is None
    assert second not in queues


def test_a_write_that_waited_elsewhere_stands_where_it_came() -> None:
    queues = Queues()
    late, later = put_of(A, 5), put_of(A, 7)
    queues.add(late)
    queues.add(later)
    assert find_no_room(queues) == A
    early = put_of(A, 6)
    queues.add(early)
    assert not queues.is_any_ready
    first = put_of(A, 1)
    queues.add(first)
    queue = take_turn(queues)
    assert list(queue.writes) == [first, late, early, later]


def test_who_found_no_room_is_tried_again_when_some_was_made_and_first() -> None:
    queues = Queues()
    fill(queues, A, B)
    assert [find_no_room(queues), find_no_room(queues)] == [A, B]
    assert not queues.is_any_ready
    queues.add(put_of(C, 9))
    queues.on_room_made()
    assert [find_no_room(queues) for _ in range(3)] == [A, B, C]


def test_another_head_is_tried() -> None:
    queues = Queues()
    first, second = fill(queues, A, A)
    find_no_room(queues)
    queues.on_changed(second)
    assert not queues.is_any_ready
    queues.on_changed(first)
    assert find_no_room(queues) == A
    queues.remove(first)
    assert take_turn(queues).head is second


def test_memory_is_reserved_for_a_head_that_others_have_passed_for_long() -> None:
    queues = Queues()
    a, *_ = fill(queues, A, B, B, B)
    assert find_no_room(queues) == A
    assert serve_one(queues, PASSED_BYTES_MAX - 1) == B
    assert serve_one(queues, 1) == B
    assert not queues.is_any_ready
    assert queues.next_turn() is None
    queues.on_room_made()
    assert find_no_room(queues) == A
    assert not queues.is_any_ready, "and still is, when it was tried in vain"
    queues.remove(a)
    assert serve_one(queues) == B


def test_slots_of_blocks_that_are_there_are_not_counted() -> None:
    queues = Queues()
    fill(queues, A, *[B] * 100)
    assert find_no_room(queues) == A
    assert [serve_one(queues) for _ in range(100)] == [B] * 100


def test_who_came_first_gives_up_first() -> None:
    queues = Queues()
    assert queues.next_deadline() is None
    puts = fill(queues, A, A, B)
    for put, deadline in zip(puts, [3.0, 5.0, 4.0], strict=True):
        put.deadline = deadline
        queues.remove(put)
        queues.add(put)
    assert queues.next_deadline() == 3.0
    assert list(queues.expired(2.9)) == []
    gone = []
    for write in queues.expired(4.0):
        gone.append(write)
        queues.remove(write)
    assert gone == [puts[0], puts[2]]
    assert queues.next_deadline() == 5.0
