"""For how long a measure has stood still."""

from ramsterd.core.stall import Stall, has_fallen


def test_what_stands_still_is_counted_from_when_it_last_moved() -> None:
    stall = Stall[int]()
    assert [stall.look(value, at) for at, value in enumerate([5, 5, 5, 4, 4])] == [0, 1, 2, 0, 1]


def test_what_need_not_move_does_not_stall() -> None:
    stall = Stall[int]()
    for at in (1, 2, 3):
        assert stall.look(5, at, is_moving=True) == 0
    assert stall.look(5, 4) == 1


def test_a_wait_that_begins_anew_forgets_what_was_before() -> None:
    stall = Stall[int]()
    stall.look(5, 1)
    stall.restart(9)
    assert stall.look(5, 10) == 1


def test_a_number_that_should_fall_has_not_moved_when_it_rises_and_comes_back() -> None:
    stall = Stall(has_fallen)
    seen = [5, 7, 5, 4, 6, 4, 3]
    assert [stall.look(value, at) for at, value in enumerate(seen)] == [0, 1, 2, 0, 1, 2, 0]
