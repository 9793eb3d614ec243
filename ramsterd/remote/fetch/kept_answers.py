"""Kept answers: pages that came before anybody read them, as their holder sent them.

They are found by serial, which names one version of one page: what was overwritten or flushed
meanwhile is never found again.  They are judged as they are taken (core.install), as if they came
just then: nothing here trusts them.
"""

from collections.abc import Sequence
from itertools import accumulate

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.remote.fetch.trend import Ahead, Trend


class KeptAnswer:
    """One answer, all of it kept until the last of its pages was taken."""

    __slots__ = ("ahead", "body", "came_at", "ends", "left", "packed", "places", "rows")

    def __init__(
        self,
        ahead: Ahead,
        rows: Sequence[int],
        serials: Sequence[int],
        packed: Sequence[int],
        body: memoryview,
        came_at: float,
    ) -> None:
        self.ahead = ahead
        self.rows = rows
        self.places = dict(zip(serials, range(len(serials)), strict=True))
        self.packed = packed
        # Where each zpage ends; the first begins where the last ends: at 0.
        self.ends = [*accumulate(map(ZPAGE_BYTES_MASK.__and__, packed)), 0]
        self.body = memoryview(bytes(body))
        self.came_at = came_at
        # Pages that were not taken.
        self.left = 0

    def zpage(self, place: int) -> memoryview:
        """Return one of the zpages."""
        return self.body[self.ends[place - 1] : self.ends[place]]


class KeptAnswers:
    """See the module's text."""

    def __init__(self) -> None:
        # Which answer has a page.
        self.by_serial: dict[int, KeptAnswer] = {}
        self.zpage_bytes = 0
        # The oldest in front.
        self._answers: dict[KeptAnswer, None] = {}

    def keep(self, answer: KeptAnswer, serials: Sequence[int]) -> None:
        """Keep an answer for these of its pages."""
        answer.left = len(serials)
        self.by_serial.update(dict.fromkeys(serials, answer))
        self._answers[answer] = None
        self.zpage_bytes += len(answer.body)

    def take(self, serial: int) -> KeptAnswer | None:
        """Return the answer that has a page, which is not kept there any more."""
        answer = self.by_serial.pop(serial, None)
        if answer is not None:
            answer.left -= 1
            if not answer.left:
                self._forget(answer)
        return answer

    def drop(self, answer: KeptAnswer) -> list[tuple[int, int]]:
        """Keep none of the pages of an answer; return row and serial of each that it was kept for."""
        left = [
            (row, serial)
            for row, serial in zip(answer.rows, answer.places, strict=True)
            if self.by_serial.get(serial) is answer
        ]
        for _, serial in left:
            del self.by_serial[serial]
        self._forget(answer)
        return left

    def _forget(self, answer: KeptAnswer) -> None:
        del self._answers[answer]
        self.zpage_bytes -= len(answer.body)

    def answers(self) -> list[KeptAnswer]:
        """Return all of them, the oldest in front."""
        return list(self._answers)

    def oldest(self) -> KeptAnswer | None:
        """Return what was kept for longest."""
        return next(iter(self._answers), None)

    def of(self, trend: Trend) -> list[KeptAnswer]:
        """Return what a reader was expected to read."""
        return [answer for answer in self._answers if answer.ahead.trend is trend]

    def check_invariants(self) -> None:
        """Assert that bytes and pages are counted right."""
        assert self.zpage_bytes == sum(len(answer.body) for answer in self._answers)
        counted = dict.fromkeys(self._answers, 0)
        for answer in self.by_serial.values():
            counted[answer] += 1
        assert all(answer.left == pages > 0 for answer, pages in counted.items())
