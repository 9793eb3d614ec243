"""For how long a measure has stood still."""

from ramsterd.core.stall import Stall


def test_what_stands_still_is_counted_from_when_it_last_moved() -> None:
    stall = Stall()
    assert [stall.look(value, at) for at, value in enumerate([5, 5, 5, 4, 4])] == [0, 1, 2, 0, 1]


def test_what_need_not_move_does_not_stall() -> None:
    stall = Stall()
    for at in (1, 2, 3):
        assert stall.look(5, at, is_moving=True) == 0
    assert stall.look(5, 4) == 1


def test_a_wait_that_begins_anew_forgets_what_was_before() -> None:
    stall = Stall()
    stall.look(5, 1)
    stall.restart(9)
    assert stall.look(5, 10) == 1
