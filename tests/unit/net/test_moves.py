from net.moves import Address, Moves
from nodemanager.ids import NodeId

ONE, TWO = NodeId(1), NodeId(2)
HERE: Address = ("10.0.0.1", 7700)
THERE: Address = ("10.0.0.2", 7700)


def test_a_member_that_was_not_known_has_not_moved() -> None:
    moves = Moves({ONE: HERE})
    assert moves.on_members_changed({ONE: HERE, TWO: THERE}) == []
    assert (moves.count(ONE), moves.count(TWO)) == (0, 0)


def test_each_change_of_address_or_port_is_a_move() -> None:
    moves = Moves({ONE: HERE, TWO: THERE})
    assert moves.on_members_changed({ONE: THERE, TWO: THERE}) == [ONE]
    assert moves.on_members_changed({ONE: (THERE[0], 7701), TWO: THERE}) == [ONE]
    assert (moves.count(ONE), moves.count(TWO)) == (2, 0)


def test_a_member_that_was_gone_begins_anew() -> None:
    moves = Moves({ONE: HERE})
    moves.on_members_changed({ONE: THERE})
    moves.on_members_changed({})
    moves.on_members_changed({ONE: HERE})
    assert moves.count(ONE) == 0
