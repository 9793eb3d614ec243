"""A READ that is no everyday one: unaligned, unfragmented by request, or longer than one slice."""

from collections.abc import Callable

from ramsterd.frontends.nbd.answers import Answers, StructuredAnswers
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.parts import Pieces


class Reading:
    """Collects the slices of a READ and answers it.

    A simple reply says first whether all is well, so it is gathered whole; so is one that must not
    be fragmented.  Other structured replies are sent slice by slice, in the order in which the
    slices come.
    """

    __slots__ = (
        "_answers",
        "_cookie",
        "_failure",
        "_gathered",
        "_length",
        "_offset",
        "_on_end",
        "_on_progress",
        "_streamed",
        "_waiting_count",
    )

    def __init__(
        self,
        answers: Answers,
        cookie: bytes,
        offset: int,
        length: int,
        *,
        slices_count: int,
        streamed: StructuredAnswers | None,
        on_progress: Callable[[], None],
        on_end: Callable[[Failure | None], None],
    ) -> None:
        self._answers = answers
        self._cookie = cookie
        self._offset = offset
        self._length = length
        self._streamed = streamed
        self._on_progress = on_progress
        self._on_end = on_end
        self._failure: Failure | None = None
        self._gathered: dict[int, Pieces] = {}
        self._waiting_count = slices_count

    def on_slice(self, offset: int, result: Pieces | Failure) -> None:
        """Take one slice."""
        if isinstance(result, Failure):
            self._failure = self._failure or result
        elif self._streamed is None:
            self._gathered[offset] = result
        elif self._failure is None:
            self._streamed.runs(self._cookie, offset, result)
        self._waiting_count -= 1
        assert self._waiting_count >= 0, "a slice came twice"
        if self._waiting_count == 0:
            self._on_end(self._failure)
            self._answer()
        self._on_progress()

    def _answer(self) -> None:
        if self._failure is not None:
            self._answers.failure(self._cookie, self._failure)
        elif self._streamed is not None:
            self._streamed.end(self._cookie)
        else:
            pieces = [
                piece for offset in sorted(self._gathered) for piece in self._gathered[offset]
            ]
            self._answers.data(self._cookie, self._offset, self._length, pieces)
