"""Page lists: an owner asks which of its pages this node keeps (LIST_PAGES), and is told in slices.

An owner that was attached, or that sees that we were, compares our list with its own rows.  It asks
for one piece after the other, from a serial on, so nothing is remembered here between two of its
requests.

A piece is made in slices (core.slices), after the request, and answered on the link that it was
asked on: an answer says what the PUTs of that link, and of all before it, have left here.  The
newest request of an owner is the one that counts.  Pages that are put or dropped while a piece is
made may be named or not; an owner that compares puts nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.core.foreign_pages import next_serials
from ramsterd.core.slices import Steps
from ramsterd.core.store import Store
from ramsterd.core.table import LEAF_PAGES
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.wire import (
    LISTED_PAGES_MAX,
    RANGES_PER_FRAME_MAX,
    SERIAL_MAX,
    PageList,
    serial_ranges,
)

# Units of work after which others may have their turn.
_STEP_UNITS: Final = 256
# As long as no more is in an answer, whatever the next leaf has fits.
_RANGES_ENOUGH: Final = RANGES_PER_FRAME_MAX - LEAF_PAGES
_PAGES_ENOUGH: Final = LISTED_PAGES_MAX - LEAF_PAGES


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """From where on an owner wants to know, and the number of its request."""

    request_id: int
    first: int


class PageLists:
    """The requests that are not answered yet: one for each owner at most."""

    def __init__(
        self,
        store: Store,
        foreign: ForeignPages,
        *,
        run: Callable[[Steps], None],
        answer: Callable[[NodeId, int, PageList], None],
    ) -> None:
        """Begin with none.

        Args:
            store: Whose pages are listed.
            foreign: Knows which pools an owner has here.
            run: Has steps done, a slice now and then.
            answer: Called with the node that asked, the number of its request, and the answer.
        """
        self._store = store
        self._foreign = foreign
        self._run = run
        self._answer = answer
        self._requests: dict[NodeId, _Request] = {}
        # Owners for which steps are under way: these take up whatever is the newest request.
        self._running: set[NodeId] = set()
        self.answered_total = 0

    def on_request(self, node: NodeId, request_id: int, first: int) -> None:
        """An owner asks what it has here, from the serial `first` on."""
        self._requests[node] = _Request(request_id, first)
        if node not in self._running:
            self._running.add(node)
            self._run(self._steps(node))

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for the answer any more."""
        self._requests.pop(node, None)

    def _steps(self, node: NodeId) -> Steps:
        while (request := self._requests.get(node)) is not None:
            yield from self._make(node, request)
        self._running.discard(node)

    def _make(self, node: NodeId, request: _Request) -> Steps:
        """Make one list.

        It ends early when it is not asked for any more, or its pages were given up meanwhile.
        """
        work, pools = self._store.work, self._foreign.pools_of(node)
        before, pages, up_to = work["list"], 0, request.first - 1
        ranges: list[tuple[int, int]] = []
        while up_to < SERIAL_MAX and len(ranges) <= _RANGES_ENOUGH and pages <= _PAGES_ENOUGH:
            serials, up_to = next_serials(self._store.versions, pools, up_to + 1)
            pages += len(serials)
            append_ranges(ranges, serials)
            if (units := work["list"] - before) >= _STEP_UNITS:
                yield units
                before = work["list"]
                if self._requests.get(node) is not request or pools != self._foreign.pools_of(node):
                    return
        del self._requests[node]
        self.answered_total += 1
        self._answer(node, request.request_id, PageList(ranges, up_to))
        yield work["list"] - before


def append_ranges(ranges: list[tuple[int, int]], serials: list[int]) -> None:
    """Add serials, which ascend and come after all that is there."""
    for first, last in serial_ranges(serials):
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = ranges[-1][0], last
        else:
            ranges.append((first, last))
