"""Kept answers: pages that came before anybody read them, as their holder sent them.

They are found by serial, which names one version of one page: what was overwritten or flushed
meanwhile is never found again.  They are judged as they are taken (core.install), as if they came
just then: nothing here trusts them.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.remote.fetch.trend import Ahead, Trend


class KeptAnswer:
    """One answer, all of it kept until the last of its pages was taken."""

    __slots__ = ("ahead", "body", "came_at", "ends", "left", "packed", "places", "rows", "serials")

    def __init__(
        self,
        ahead: Ahead,
        rows: Sequence[int],
        serials: list[int],
        packed: list[int],
        body: memoryview,
        came_at: float,
    ) -> None:
        self.ahead = ahead
        self.rows = rows
        self.serials = serials
        self.places = dict(zip(serials, range(len(serials)), strict=True))
        self.packed = packed
        # Where each zpage ends; the first begins where the last ends: at 0.
        self.ends = [*accumulate(map(ZPAGE_BYTES_MASK.__and__, packed)), 0]
        self.body = memoryview(bytes(body))
        self.came_at = came_at
        # Pages that were not taken.
        self.left = 0


class KeptRun(NamedTuple):
    """Pages that stand side by side in an answer: what its holder said of each, and their zpages, back to back."""

    ahead: Ahead
    packed: list[int]
    zpages: memoryview


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

    def take_run(self, serials: list[int], start: int) -> KeptRun | None:
        """Return what is kept of those from `start` on, as far as it stands side by side; it is not kept any more.

        None: the first is not kept.
        """
        by_serial = self.by_serial
        answer = by_serial.get(serials[start])
        if answer is None:
            return None
        first = stop = answer.places[serials[start]]
        for mine, theirs in zip(serials[start:], answer.serials[first:], strict=False):
            if mine != theirs or by_serial.get(mine) is not answer:
                break
            del by_serial[mine]
            stop += 1
        answer.left -= stop - first
        if not answer.left:
            self._forget(answer)
        zpages = answer.body[answer.ends[first - 1] : answer.ends[stop - 1]]
        return KeptRun(answer.ahead, answer.packed[first:stop], zpages)

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
