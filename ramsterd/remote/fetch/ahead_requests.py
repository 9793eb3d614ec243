"""Ahead requests: pages that nobody waits for yet, as requests to their holders."""

from collections.abc import Sequence, Set as AbstractSet

from ramsterd.core.elsewhere import Elsewhere
from ramsterd.remote.fetch.asking import Asking, FetchRequest
from ramsterd.remote.fetch.trend import Ahead, Trend
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX


class AheadRequests:
    """Requests that one trend is the reason for; where there would be too many, the rest is left to the gets that want it."""

    def __init__(self, trend: Trend, requests_max: int) -> None:
        self.made: list[FetchRequest] = []
        self._trend = trend
        self._requests_max = requests_max
        # The last one to each holder.
        self._newest: dict[int, FetchRequest] = {}

    def add(self, asking: Asking, found: Elsewhere, *others: AbstractSet[int]) -> None:
        """Ask for those pages of a run that are not on their way, nor among any `others` by their serials."""
        if found.serials and _are_alike(asking, found, others):
            if holder := asking.choose_linked(found.rows[0], found.firsts[0], 0):
                self._ask_all(holder, found)
            return
        for row, serial, zbytes, first, second in zip(*found, strict=True):
            if asking.is_asked(serial) or any(serial in some for some in others):
                continue
            if holder := asking.choose_linked(row, first, second):
                self._ask(holder, [row], [serial], zbytes)

    def _ask_all(self, holder: int, found: Elsewhere) -> None:
        """Ask for all pages of a run, which may be longer than a frame: who reads it has asked for much together."""
        for start in range(0, len(found.serials), PAGES_PER_FRAME_MAX):
            some = slice(start, start + PAGES_PER_FRAME_MAX)
            self._ask(holder, found.rows[some], found.serials[some], sum(found.zbytes[some]))

    def _ask(self, holder: int, rows: list[int], serials: list[int], zpage_bytes: int) -> None:
        request = self._newest.get(holder)
        if request is None or len(request.serials) + len(serials) > PAGES_PER_FRAME_MAX:
            if len(self.made) == self._requests_max:
                return
            ahead = Ahead(self._trend, self._trend.turn, 0, 0)
            request = self._newest[holder] = FetchRequest(holder, [], [], ahead=ahead)
            self.made.append(request)
        assert request.ahead is not None
        request.serials += serials
        request.rows += rows
        request.ahead.zpage_bytes += zpage_bytes


def _are_alike(asking: Asking, found: Elsewhere, others: Sequence[AbstractSet[int]]) -> bool:
    """Whether all these pages are to be asked for, at the same only holder: as mostly, a run that left together."""
    serials = found.serials
    return (
        found.firsts.count(found.firsts[0]) == len(serials)
        and not any(found.seconds)
        and asking.is_none_asked(serials)
        and all(some.isdisjoint(serials) for some in others)
    )
