"""Reconcile: what a holder keeps is compared with our rows, after one of the two sides was attached to kept memory.

A process that ends takes with it what it owed: flushes, and the end of PUTs that were under way.  A
holder that ends may find some pages damaged as it is attached.  So before anything is put to a
holder whose attach count is not the one that we agreed at (`holders`), three steps follow one
another for it:

    collect   our rows that name it are swept; their serials are sorted: 8 bytes each
    ask       it is asked for its pages, a piece after the other (LIST_PAGES), and each piece is compared
    forget    what it turned out to lack is swept for: it is no holder of that any more

What only the holder has, it is owed a flush for.  What only our rows name is *missing*: the last
copy is lost, any other is copied again.  Nothing is put to it meanwhile, so no version is judged
that is on its way there.  Gets and flushes go on: a page that is flushed after it was collected is
flushed twice at worst, and a row that ended is not found again.

All steps are done in slices (core.slices).  They go on where they were when the link is lost and is
back, and begin anew when another process of the holder is behind the link.  A piece that can't be
true ends the link; nothing of it is used.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.ids import NodeId
from ramsterd.core.room import Room
from ramsterd.core.row_sweep import forget_missing, serials_held_by
from ramsterd.core.slices import Steps
from ramsterd.remote.holders.comparison import OurSerials, differences
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.wire import SERIAL_MAX, PageList, parse_list_reply

# Rows looked at in one step, of which each may name the holder; and pages forgotten in one.
STEP_ROWS: Final = 1024
STEP_PAGES: Final = 128
# A holder that gave no answer is asked again after that; so is one that is owed more flushes than
# may wait.
RETRY_SECONDS: Final = 1.0
BEHIND_SECONDS: Final = 0.02


@dataclass(slots=True, eq=False)
class Comparison:
    """How far it is for one holder, and what was found."""

    holder: Holder
    # Of the process of the holder that is asked.
    attach_count: int
    ours: OurSerials = field(default_factory=OurSerials)
    # Whether the next step is to ask; if so from which serial on, and when.
    is_to_ask: bool = False
    first: int = 1
    ask_at: float = 0.0
    # Serials of our rows that it lacks, ascending.
    missing: "array[int]" = field(default_factory=lambda: array("Q"))
    # How many copies it had that no row names, it lacked, and it lacked though it had promised to
    # keep them.
    unknown_count: int = 0
    missing_count: int = 0
    lacking_count: int = 0


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A comparison has ended: how many copies were unknown to us, and how many were missing there.

    Of the missing ones, `lacking` are of persistent pages.
    """

    node: NodeId
    unknown: int
    missing: int
    lacking: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileStatistics:
    """Holders that are compared now, those that were, and the differences found."""

    reconciling_holders: int
    reconciled_holders_total: int
    unknown_copies_total: int
    missing_copies_total: int


class Reconciler:
    """All holders that are compared, one request to each at a time."""

    def __init__(
        self,
        room: Room,
        holders: Holders,
        *,
        run: Callable[[Steps], None],
        owe: Callable[[Holder, "array[int]"], None],
        is_linked: Callable[[NodeId], bool],
        is_behind: Callable[[NodeId], bool],
        on_thinned: Callable[[int], None],
    ) -> None:
        """Begin with none.

        Args:
            room: Whose rows these are.
            holders: Knows with whom we agree.
            run: Has steps done, a slice now and then.
            owe: Called with serials that a holder has and that no row names.
            is_linked: Whether a node can be asked.
            is_behind: Whether a node is owed so many flushes that nothing more should be found.
            on_thinned: Called with each row that may have too few copies.
        """
        self._room = room
        self._holders = holders
        self._run = run
        self._owe = owe
        self._is_linked = is_linked
        self._is_behind = is_behind
        self._on_thinned = on_thinned
        # By holder id; and by the number of the request.
        self._comparisons: dict[int, Comparison] = {}
        self._in_flight: dict[int, Comparison] = {}
        # Those that ended, until somebody takes them.
        self._ended: list[Reconciled] = []
        self._reconciled = self._unknown = self._missing = 0

    # Holders.

    def on_link_up(self, holder: Holder, now: float) -> None:
        """A holder is linked: begin, or go on, unless we agree."""
        if self._holders.is_agreed(holder.node):
            return
        attach_count = self._holders.attach_count(holder.node)
        comparison = self._comparisons.get(holder.id)
        if comparison is None or comparison.attach_count != attach_count:
            comparison = self._comparisons[holder.id] = Comparison(holder, attach_count)
            self._run(self._collect(comparison))
        comparison.ask_at = now

    def on_holder_dead(self, holder: int) -> None:
        """Its incarnation is over, with all that it held."""
        self._comparisons.pop(holder, None)

    def _is_current(self, comparison: Comparison) -> bool:
        return self._comparisons.get(comparison.holder.id) is comparison

    # Collect.

    def _collect(self, comparison: Comparison) -> Steps:
        versions, row = self._room.versions, 0
        while self._is_current(comparison):
            before = versions.work["sweep"]
            serials, row = serials_held_by(versions, comparison.holder.id, row, STEP_ROWS)
            if serials:
                comparison.ours.add(serials)
            if not row:
                comparison.ours.begin()
                comparison.is_to_ask = True
                return
            yield versions.work["sweep"] - before

    # Ask.

    def has_work(self) -> bool:
        """Whether a comparison is under way, or has ended and is to be told of."""
        return bool(self._comparisons) or bool(self._ended)

    def next_deadline(self) -> float | None:
        """Return when a holder is to be asked."""
        if not self._comparisons:
            return None
        return min(
            (
                each.ask_at
                for each in self._comparisons.values()
                if each.is_to_ask and self._is_linked(each.holder.node)
            ),
            default=None,
        )

    def due(self, now: float) -> list[Comparison]:
        """Return those whose holders are asked now; `begin` follows for each."""
        found = []
        for each in self._comparisons.values():
            node = each.holder.node
            if not each.is_to_ask or each.ask_at > now or not self._is_linked(node):
                continue
            if self._is_behind(node):
                each.ask_at = now + BEHIND_SECONDS
            else:
                found.append(each)
        return found

    def begin(self, request_id: int, comparison: Comparison) -> None:
        """The request is on its way."""
        comparison.is_to_ask = False
        self._in_flight[request_id] = comparison

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is one of these, under way."""
        return request_id in self._in_flight

    def on_request_failed(self, request_id: int, now: float) -> None:
        """No answer: it is asked again."""
        comparison = self._in_flight.pop(request_id)
        comparison.is_to_ask = True
        comparison.ask_at = now + RETRY_SECONDS

    def on_reply(self, request_id: int, frame: Frame) -> None:
        """A holder told which of our pages it keeps.

        Raises:
            RemoteProtocolError: It can't keep these.
        """
        comparison = self._in_flight[request_id]
        listed = parse_list_reply(frame, comparison.first)
        newest = self._room.versions.serial_last
        if listed.ranges and listed.ranges[-1][1] > newest:
            raise RemoteProtocolError(
                f"answer to a LIST_PAGES up to serial {listed.ranges[-1][1]}, while {newest} is our newest"
            )
        del self._in_flight[request_id]
        if self._is_current(comparison):
            self._run(self._compare(comparison, listed))

    def _compare(self, comparison: Comparison, listed: PageList) -> Steps:
        unknown = array("Q")
        for units in differences(
            comparison.ours, listed, unknown=unknown, missing=comparison.missing
        ):
            self._room.versions.work["reconcile"] += units
            yield units
            if not self._is_current(comparison):
                return
        if unknown:
            self._unknown += len(unknown)
            comparison.unknown_count += len(unknown)
            self._owe(comparison.holder, unknown)
        comparison.first = listed.up_to + 1
        if comparison.first <= SERIAL_MAX:
            comparison.is_to_ask = True
        else:
            yield from self._forget(comparison)

    # Forget.

    def _forget(self, comparison: Comparison) -> Steps:
        holder, versions = comparison.holder, self._room.versions
        row = 0
        while comparison.missing:
            before = versions.work["sweep"] + versions.work["adopt"]
            forgotten = forget_missing(
                self._room, holder.id, comparison.missing, row, STEP_ROWS, pages_max=STEP_PAGES
            )
            row = forgotten.next_row
            holder.on_pages_gone(forgotten.pages)
            self._missing += forgotten.pages
            comparison.missing_count += forgotten.pages
            comparison.lacking_count += forgotten.persistent
            for thinned in forgotten.thinned:
                self._on_thinned(thinned)
            if not row:
                break
            yield versions.work["sweep"] + versions.work["adopt"] - before
            if not self._is_current(comparison):
                return
        self._end(comparison)

    def _end(self, comparison: Comparison) -> None:
        """All differences are known: what is put to that process from now on is as ever."""
        holder = comparison.holder
        del self._comparisons[holder.id]
        holder.agreed_at = comparison.attach_count
        self._reconciled += 1
        self._ended.append(
            Reconciled(
                holder.node,
                comparison.unknown_count,
                comparison.missing_count,
                comparison.lacking_count,
            )
        )

    def take_ended(self) -> list[Reconciled]:
        """Return the comparisons that ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def statistics(self) -> ReconcileStatistics:
        """Return a snapshot."""
        return ReconcileStatistics(
            reconciling_holders=len(self._comparisons),
            reconciled_holders_total=self._reconciled,
            unknown_copies_total=self._unknown,
            missing_copies_total=self._missing,
        )
