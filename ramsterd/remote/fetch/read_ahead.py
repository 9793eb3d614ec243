"""Read-ahead: pages at peers are asked for before their readers come to them (docs/design/0023).

A reader is found by what it reads (`readers`, `trend`), and only reads that needed a peer are
looked at.  What comes is kept as it came (`kept_answers`), beside the store and within
`bytes_max`: so no page here makes way for one that may never be read, and what is never read was
never unpacked.  A get takes it from there as if it had come just then.

Never ahead of demand: nothing is asked for ahead while a get's own request waits for its turn, nor
in front of one in a pass.  A get that wants what is under way waits for that.
"""

from collections.abc import Callable, Sequence, Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.elsewhere import find_elsewhere
from ramsterd.core.family import Family
from ramsterd.core.install import come_home
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.store import Store
from ramsterd.core.table import PageObject
from ramsterd.remote.fetch.ahead_requests import AheadRequests
from ramsterd.remote.fetch.asking import Asking, FetchRequest
from ramsterd.remote.fetch.kept_answers import KeptAnswer, KeptAnswers, KeptRun
from ramsterd.remote.fetch.pending import PendingGet, Waiter
from ramsterd.remote.fetch.readers import Key, Readers, runs_of
from ramsterd.remote.fetch.trend import Ahead, Trend
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX

# Pages that one pass looks at to ask for them ahead: about a millisecond.
LOOKED_AT_MAX: Final = 1024
# Requests under way that nobody waited for as they left, to all peers together: a frame of small
# zpages is soon sent, and a link has an end.
REQUESTS_MAX: Final = 64
# What nobody has read after so long is dropped.
KEPT_SECONDS_MAX: Final = 10.0
# What came for a reader that has read nothing for so long makes way for others.
IDLE_SECONDS: Final = 0.5
# As much as one frame may bring.
_FRAME_BYTES: Final = PAGES_PER_FRAME_MAX * PAGE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAheadStatistics:
    """Pages that were asked for ahead: each is on its way, kept, used or wasted."""

    bytes_max: int
    # What is expected of those on their way, and what was kept.
    zpage_bytes: int
    in_flight_waiting_pages: int
    kept_waiting_pages: int
    readers: int
    forgotten_readers_total: int
    asked_pages_total: int
    used_pages_total: int
    # Those of them that somebody had to wait for, for less time.
    late_pages_total: int
    # Nobody read them; they were written again or discarded; their holder did not send them.
    unused_pages_total: int
    outdated_pages_total: int
    failed_pages_total: int


class ReadAhead:
    """See the module's text."""

    def __init__(self, store: Store, *, bytes_max: int) -> None:
        """Begin with nothing; 0 bytes: off."""
        self._store = store
        self._bytes_max = bytes_max
        self._readers = Readers()
        self._kept = KeptAnswers()
        # The same dict for ever: empty means that nobody need look.
        self.by_serial = self._kept.by_serial
        # Readers whose windows may have room.
        self._due: dict[Trend, Key] = {}
        self.has_due: Callable[[], int] = self._due.__len__
        self._requests = 0
        self._in_flight_pages = 0
        self._in_flight_bytes = 0
        self._asked = self._late = 0
        # Pages that gets had from what was kept, the bytes of their zpages, and how many stayed.
        self.served = self.served_zpage_bytes = self.localified = 0
        self._unused = self._outdated = self._failed = 0

    def set_bytes_max(self, bytes_max: int) -> None:
        """Change how much may be kept and under way together; what is over it is dropped."""
        self._bytes_max = bytes_max
        self._fit()
        if not bytes_max:
            for trend in self._readers.forget_all():
                self._forget(trend)

    # What is read.

    def on_read(self, pool: PoolId, object_id: bytes, indexes: Sequence[int], now: float) -> None:
        """A client reads pages some of which are at peers."""
        if not self._bytes_max or self._store.pools[pool].kind is PoolKind.EPHEMERAL:
            return
        key = pool, object_id
        for index, count in runs_of(indexes):
            trend, forgotten = self._readers.of(key, index, count)
            for each in forgotten:
                self._forget(each)
            if trend is None:
                continue
            trend.read_at = now
            if trend.on_read(index, count):
                self._drop_all_of(trend)
            if trend.window:
                self._due[trend] = key

    def _forget(self, trend: Trend) -> None:
        """A reader made way for another."""
        trend.close()
        self._due.pop(trend, None)
        self._drop_all_of(trend)

    def _drop_all_of(self, trend: Trend) -> None:
        for answer in self._kept.of(trend):
            self._waste(answer)

    def serve(
        self,
        elsewhere: Sequence[tuple[int, int]],
        pending: PendingGet,
        have: Callable[[PendingGet, list[tuple[int, bytes]]], None],
    ) -> list[tuple[int, int]]:
        """Give a get those of its pages that are kept, judged as if they had come just now; return the others.

        `elsewhere` has a position and a row of each; the get has what `have` is called with.
        """
        rows = [row for _, row in elsewhere]
        serials = self._store.rows.serials(rows)
        others: list[tuple[int, int]] = []
        at = 0
        while at < len(serials):
            kept = self._kept.take_run(serials, at)
            if kept is None:
                others.append(elsewhere[at])
                at += 1
                continue
            stop = at + len(kept.packed)
            pages = self._judge(kept, rows[at:stop], serials[at:stop])
            places = elsewhere[at:stop]
            good = [(place[0], page) for place, page in zip(places, pages, strict=True) if page]
            have(pending, good)
            if len(good) < len(pages):
                # Damaged, or given up by its holders: the get asks as if nothing had come.
                others += [place for place, page in zip(places, pages, strict=True) if not page]
            at = stop
        return others

    def _judge(self, kept: KeptRun, rows: list[int], serials: list[int]) -> list[bytes | None]:
        """Return the pages that were kept, nothing for one that is not what it was."""
        families: list[Family | None] = [Family.OWN_CLEAN] * len(rows)
        pages, installed = come_home(
            self._store.room, rows, serials, kept.packed, kept.zpages, families
        )
        self.localified += installed
        if kept.ahead.is_current:
            kept.ahead.trend.on_used(len(pages), is_late=False)
        each = () if all(pages) else zip(kept.packed, pages, strict=True)
        bad = [code & ZPAGE_BYTES_MASK for code, page in each if not page]
        self.served += len(pages) - len(bad)
        self.served_zpage_bytes += len(kept.zpages) - sum(bad)
        self._failed += len(bad)
        return pages

    # What is asked for.

    def choose(self, asking: Asking, wanted: AbstractSet[int], now: float) -> list[FetchRequest]:
        """Return what to ask holders for now that nobody waits for; `begin` follows for each.

        `wanted` has the serials that somebody waits for.
        """
        due, requests, looked_at = list(self._due.items()), list[FetchRequest](), 0
        self._due.clear()
        if asking.has_queued():
            return requests  # gets wait for their turn
        self._make_room(now)
        for trend, (pool, object_id) in due:
            if pool not in self._store.pools:
                continue
            page_object = self._store.pools[pool].find_object(object_id)
            while page_object is not None and looked_at < LOOKED_AT_MAX:
                if self._requests >= REQUESTS_MAX:
                    return requests
                runs = trend.take(min(PAGES_PER_FRAME_MAX, self._free_bytes() // PAGE_BYTES))
                if not runs:
                    break
                looked_at += sum(count for _, count in runs)
                requests += self._requests_for(trend, page_object, runs, asking, wanted)
        return requests

    def _make_room(self, now: float) -> None:
        """Drop what came for readers that are idle, the oldest first, until there is room for a frame."""
        # Of a small bound half will do: it never has room for a whole frame.
        room_bytes = min(_FRAME_BYTES, self._bytes_max // 2)
        if self._free_bytes() >= room_bytes:
            return
        for answer in self._kept.answers():
            if now - answer.ahead.trend.read_at > IDLE_SECONDS:
                self._waste(answer)
                if self._free_bytes() >= room_bytes:
                    return

    def _free_bytes(self) -> int:
        return self._bytes_max - self._kept.zpage_bytes - self._in_flight_bytes

    def _requests_for(
        self,
        trend: Trend,
        page_object: PageObject,
        runs: list[tuple[int, int]],
        asking: Asking,
        wanted: AbstractSet[int],
    ) -> list[FetchRequest]:
        """Return requests to holders of pages of these runs that are neither here nor on their way.

        Where there would be too many requests, the rest is left to the gets that want it.
        """
        batch = AheadRequests(trend, REQUESTS_MAX - self._requests)
        for index, count in runs:
            found = find_elsewhere(self._store.versions, page_object, index, count)
            batch.add(asking, found, self.by_serial.keys(), wanted)
        for request in batch.made:
            asking.ask_ahead(request)
            self._begin(request)
        return batch.made

    def _begin(self, request: FetchRequest) -> None:
        assert request.ahead is not None
        request.ahead.pages = pages = len(request.serials)
        self._requests += 1
        self._in_flight_pages += pages
        self._in_flight_bytes += request.ahead.zpage_bytes
        self._asked += pages

    # What comes.

    def _end(self, ahead: Ahead) -> None:
        self._requests -= 1
        self._in_flight_pages -= ahead.pages
        self._in_flight_bytes -= ahead.zpage_bytes

    def on_answer(
        self,
        request: FetchRequest,
        packed: list[int],
        body: memoryview,
        all_waiters: Sequence[Sequence[Waiter]],
        now: float,
    ) -> None:
        """A holder has answered; those pages that somebody waits for by now are served by others."""
        ahead = request.ahead
        assert ahead is not None
        self._end(ahead)
        if late := len(all_waiters) - all_waiters.count([]):
            self._late += late
            if ahead.is_current:
                ahead.trend.on_used(late, is_late=True)
        rows, left = self._store.rows, list[int]()
        is_whole = not late and ahead.is_current and 0 not in packed
        if is_whole and rows.are_elsewhere(request.rows, request.serials):
            # As mostly: nobody has come for one of them, nor changed one.
            self._keep(request, ahead, packed, body, request.serials, now)
            return
        unused = outdated = failed = 0
        for row, serial, code, waiters in zip(
            request.rows, request.serials, packed, all_waiters, strict=True
        ):
            if waiters:
                continue
            if rows.serial(row) != serial or rows.location(row):
                outdated += 1
            elif not code:
                failed += 1
            elif not ahead.is_current:
                unused += 1
            else:
                left.append(serial)
        self._unused, self._outdated = self._unused + unused, self._outdated + outdated
        self._failed += failed
        if left:
            self._keep(request, ahead, packed, body, left, now)

    def _keep(
        self,
        request: FetchRequest,
        ahead: Ahead,
        packed: list[int],
        body: memoryview,
        serials: list[int],
        now: float,
    ) -> None:
        answer = KeptAnswer(ahead, request.rows, request.serials, packed, body, now)
        self._kept.keep(answer, serials)
        self._fit()

    def on_failed(self, request: FetchRequest) -> None:
        """There is no answer: who waits for pages of it by now asks again, and nobody else does."""
        if (ahead := request.ahead) is None:
            return
        self._end(ahead)
        self._failed += ahead.pages
        if ahead.is_current:
            ahead.trend.on_wasted(ahead.pages)

    # What nobody reads.

    def drop_old(self, now: float) -> None:
        """Nobody has read what came long ago."""
        while (answer := self._kept.oldest()) is not None:
            if now - answer.came_at < KEPT_SECONDS_MAX:
                return
            self._waste(answer)

    def _fit(self) -> None:
        """Keep no more than there is room for: a holder may have sent other lengths than it should."""
        while self._kept.zpage_bytes > self._bytes_max and (answer := self._kept.oldest()):
            self._waste(answer)

    def _waste(self, answer: KeptAnswer) -> None:
        left, serial_of = self._kept.drop(answer), self._store.rows.serial
        outdated = sum(serial_of(row) != serial for row, serial in left)
        self._outdated += outdated
        self._unused += len(left) - outdated
        if answer.ahead.is_current:
            answer.ahead.trend.on_wasted(len(left))

    # What is true.

    def statistics(self) -> ReadAheadStatistics:
        """Return a snapshot."""
        return ReadAheadStatistics(
            bytes_max=self._bytes_max,
            zpage_bytes=self._kept.zpage_bytes + self._in_flight_bytes,
            in_flight_waiting_pages=self._in_flight_pages,
            kept_waiting_pages=len(self.by_serial),
            readers=len(self._readers),
            forgotten_readers_total=self._readers.forgotten_total,
            asked_pages_total=self._asked,
            used_pages_total=self.served + self._late,
            late_pages_total=self._late,
            unused_pages_total=self._unused,
            outdated_pages_total=self._outdated,
            failed_pages_total=self._failed,
        )

    def check_invariants(self) -> None:
        """Assert that each page is counted once, and bounds are kept."""
        self._kept.check_invariants()
        wasted = self._unused + self._outdated + self._failed
        used = self.served + self._late
        assert self._asked == used + wasted + self._in_flight_pages + len(self.by_serial)
        assert self._kept.zpage_bytes <= self._bytes_max
        assert 0 <= self._requests <= REQUESTS_MAX
