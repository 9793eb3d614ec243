"""Asker: questions of this node to others that are under way, and the pieces of their answers.  Pure.

Time is the caller's: it ends a question that takes too long.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from net.errors import RemoteProtocolError
from nodemanager.ids import NodeId
from ramsterd.asking.messages import ANSWER_BYTES_MAX, NUMBER_MAX, Piece

# Of operators.  What their answers may take of our memory is this times `ANSWER_BYTES_MAX`.
QUESTIONS_MAX: Final = 8
# The node itself has one more, so that neither takes the place of the other.
OWN_QUESTIONS_MAX: Final = 1


class TooManyQuestions(Exception):
    """As many questions as may be are under way."""


@dataclass(slots=True, eq=False)
class Question:
    """One that is under way, or over."""

    node: NodeId
    number: int
    # Called when it is over.
    wake: Callable[[], None]
    # Whether the node itself asks, and no operator.
    is_own: bool = False
    pieces: list[bytes] = field(default_factory=list)
    answer_bytes: int = 0
    is_answered: bool = False
    is_link_lost: bool = False

    @property
    def answer(self) -> bytes:
        """What came, as a whole."""
        assert self.is_answered
        return b"".join(self.pieces)


class Asker:
    """See the module's text."""

    def __init__(self) -> None:
        self._questions: dict[int, Question] = {}
        self._last = 0
        # Pieces of answers for which nobody waits any more.
        self.late_pieces_total = 0

    def __len__(self) -> int:
        """Return how many questions of operators are under way."""
        return sum(not question.is_own for question in self._questions.values())

    def begin(self, node: NodeId, wake: Callable[[], None], *, is_own: bool = False) -> Question:
        """Note a question to a node.

        Raises:
            TooManyQuestions: Nothing has changed.
        """
        most = OWN_QUESTIONS_MAX if is_own else QUESTIONS_MAX
        if sum(each.is_own is is_own for each in self._questions.values()) >= most:
            raise TooManyQuestions
        self._last = self._last % NUMBER_MAX + 1
        question = Question(node, self._last, wake, is_own)
        self._questions[question.number] = question
        return question

    def end(self, question: Question) -> None:
        """Nobody waits for it any more."""
        self._questions.pop(question.number, None)

    def on_piece(self, node: NodeId, piece: Piece) -> None:
        """A node has sent a piece of an answer.

        Raises:
            RemoteProtocolError: The answer is too long.
        """
        question = self._questions.get(piece.number)
        # One node can't answer what another was asked.
        if question is None or question.node != node or question.is_answered:
            self.late_pieces_total += 1
            return
        question.answer_bytes += len(piece.data)
        if question.answer_bytes > ANSWER_BYTES_MAX:
            raise RemoteProtocolError(f"ANSWER of more than {ANSWER_BYTES_MAX} bytes")
        question.pieces.append(piece.data)
        if piece.is_last:
            question.is_answered = True
            question.wake()

    def on_link_lost(self, node: NodeId) -> None:
        """No answer comes from a node."""
        for question in self._questions.values():
            if question.node == node and not question.is_answered:
                question.is_link_lost = True
                question.wake()

    def check_invariants(self) -> None:
        """Assert what must hold between calls."""
        assert len(self) <= QUESTIONS_MAX
        assert len(self._questions) <= QUESTIONS_MAX + OWN_QUESTIONS_MAX
        for number, question in self._questions.items():
            assert number == question.number
            assert question.answer_bytes == sum(map(len, question.pieces)) <= ANSWER_BYTES_MAX
