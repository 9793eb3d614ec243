import pytest

from net.errors import RemoteProtocolError
from nodemanager.ids import NodeId
from ramsterd.asking.asker import QUESTIONS_MAX, Asker, Question, TooManyQuestions
from ramsterd.asking.messages import ANSWER_BYTES_MAX, NUMBER_MAX, PIECE_BYTES_MAX, Piece

BETA, GAMMA = NodeId(2), NodeId(3)


class Waiting:
    """An asker with one question to beta."""

    def __init__(self) -> None:
        self.woken = 0
        self.asker = Asker()
        self.question: Question = self.asker.begin(BETA, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def hear(self, data: bytes, *, is_last: bool = True, node: NodeId = BETA) -> None:
        self.asker.on_piece(node, Piece(self.question.number, is_last, data))
        self.asker.check_invariants()


def test_an_answer_is_its_pieces_in_their_order() -> None:
    waiting = Waiting()
    waiting.hear(b"ab", is_last=False)
    assert not waiting.woken
    waiting.hear(b"c")
    assert (waiting.woken, waiting.question.answer) == (1, b"abc")


def test_nobody_answers_in_the_place_of_another() -> None:
    waiting = Waiting()
    waiting.hear(b"lie", node=GAMMA)
    assert not waiting.woken
    assert waiting.asker.late_pieces_total == 1


def test_a_piece_for_which_nobody_waits_is_counted() -> None:
    waiting = Waiting()
    waiting.asker.end(waiting.question)
    waiting.hear(b"late")
    assert (waiting.woken, waiting.asker.late_pieces_total) == (0, 1)


def test_a_piece_behind_the_last_one_is_counted() -> None:
    waiting = Waiting()
    waiting.hear(b"all")
    waiting.hear(b"more")
    assert waiting.question.answer == b"all"
    assert waiting.asker.late_pieces_total == 1


def test_an_answer_that_does_not_end_breaks_the_protocol() -> None:
    waiting = Waiting()
    piece = bytes(PIECE_BYTES_MAX)
    for _ in range(ANSWER_BYTES_MAX // PIECE_BYTES_MAX):
        waiting.hear(piece, is_last=False)
    with pytest.raises(RemoteProtocolError, match="ANSWER of more than"):
        waiting.hear(b"x")


def test_a_lost_link_ends_the_questions_on_it() -> None:
    waiting = Waiting()
    other = waiting.asker.begin(GAMMA, lambda: None)
    waiting.asker.on_link_lost(BETA)
    assert (waiting.woken, waiting.question.is_link_lost, other.is_link_lost) == (1, True, False)


def test_only_so_many_questions_are_under_way() -> None:
    asker = Asker()
    questions = [asker.begin(BETA, lambda: None) for _ in range(QUESTIONS_MAX)]
    with pytest.raises(TooManyQuestions):
        asker.begin(GAMMA, lambda: None)
    asker.end(questions[0])
    asker.begin(GAMMA, lambda: None)
    asker.check_invariants()


def test_numbers_begin_anew_behind_the_last_one() -> None:
    asker = Asker()
    asker._last = NUMBER_MAX - 1
    assert [asker.begin(BETA, lambda: None).number for _ in range(2)] == [NUMBER_MAX, 1]
