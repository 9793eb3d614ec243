"""What is owed leaves piece by piece, and comes back if nothing proves that it arrived."""

from array import array

from ramsterd.remote.holders.owed_flushes import PIECE_SERIALS, OwedFlushes

A, B = 1, 2


def send_all(flushes: OwedFlushes, holder: int, last_request_id: int = 1) -> list[int]:
    sent: list[int] = []
    while serials := flushes.send(holder, last_request_id):
        assert len(serials) <= PIECE_SERIALS
        sent += serials
    return sent


def test_what_is_owed_is_sent_once() -> None:
    flushes = OwedFlushes()
    assert not flushes
    assert flushes.owe(A, [3, 1, 2]) == 3
    assert flushes.owe(A, (each for each in [9])) == 4
    assert flushes.count() == flushes.owed_to(A) == 4
    assert flushes.holders() == [A]
    assert send_all(flushes, A) == [3, 1, 2, 9]
    assert not flushes
    assert send_all(flushes, A) == []
    assert flushes.has_any_for(A), "it is not proven"


def test_millions_leave_in_pieces() -> None:
    flushes = OwedFlushes()
    count = 3 * PIECE_SERIALS + 5
    flushes.owe(A, range(count))
    pieces = []
    while serials := flushes.send(A, 1):
        pieces.append(len(serials))
    assert pieces == [PIECE_SERIALS] * 3 + [5]


def test_few_at_a_time_are_sent_together() -> None:
    flushes = OwedFlushes()
    for each in range(100):
        flushes.owe(A, [each])
    assert len(flushes.send(A, 1)) == 100


def test_an_answer_proves_what_was_sent_before_the_request() -> None:
    flushes = OwedFlushes()
    flushes.owe(A, [1])
    send_all(flushes, A, 5)
    flushes.owe(A, [2])
    send_all(flushes, A, 7)
    flushes.on_answer(A, 5)
    flushes.on_answer(A, 6)
    flushes.on_link_lost(A)
    assert send_all(flushes, A, 9) == [2]
    flushes.on_answer(A, 10)
    assert not flushes.has_any_for(A)
    flushes.on_answer(A, 11)


def test_request_numbers_wrap_around() -> None:
    flushes = OwedFlushes()
    flushes.owe(A, [1])
    send_all(flushes, A, (1 << 32) - 1)
    flushes.on_answer(A, 1)
    assert not flushes.has_any_for(A)


def test_what_is_not_proven_is_owed_again_in_few_pieces() -> None:
    flushes = OwedFlushes()
    for each in range(1000):
        flushes.owe(A, [each])
        send_all(flushes, A)
    flushes.on_link_lost(A)
    assert flushes.owed_to(A) == 1000
    assert sorted(flushes.send(A, 2)) == list(range(1000))


def test_a_holder_that_lost_all_is_owed_nothing() -> None:
    flushes = OwedFlushes()
    flushes.owe(A, [1])
    send_all(flushes, A)
    flushes.owe(A, [2])
    flushes.owe(B, [3])
    flushes.forget(A)
    flushes.on_link_lost(A)
    assert flushes.holders() == [B]
    assert flushes.count() == 1


def test_what_one_id_is_owed_another_can_be() -> None:
    flushes = OwedFlushes()
    flushes.owe(A, [1])
    send_all(flushes, A)
    flushes.owe(A, [2])
    flushes.owe(B, array("Q", [3]))
    flushes.move(A, B)
    assert not flushes.has_any_for(A)
    assert sorted(send_all(flushes, B)) == [1, 2, 3]
