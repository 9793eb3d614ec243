"""Pages of a benchmark at one peer: put, asked for, flushed, on the link and by the messages of real pages.

They are ephemeral versions of ours that no row names: serials are drawn from the store's own
counter, so they are no other page's, and the peer is owed a flush of each as it is for any other.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

from nodemanager.ids import NodeId
from ramsterd.core.codec import decode_page, zpage_bytes
from ramsterd.core.page import PoolKind
from ramsterd.pagepath.effects import Send
from ramsterd.pagepath.machines import Machines
from ramsterd.remote.bench_requests import BENCH_IN_FLIGHT_MAX, BenchGet, BenchPut, OnGet, OnPut
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.wire import MessageType, get_table, put_table

# The part of a peer's memory that may be in use with our pages in it, and how much more room than
# they need it must have: nothing is displaced for them.
PRESSURE_MAX: Final = 0.8
ROOM_FACTOR: Final = 4
# So many together: flushes of real pages wait for company, too.
FLUSHED_PAGES: Final = 256
# An encoded page: packed number, zpage, checksum.
Zpage: TypeAlias = tuple[int, bytes, int]


class NoBench(Exception):
    """A peer can't be measured now; says why in one line."""


class BenchLink:
    """One incarnation of a peer, and the pages of ours that it has for the benchmark."""

    def __init__(self, machines: Machines, node: NodeId, *, pages_max: int, bytes_max: int) -> None:
        """Begin with none.

        Args:
            machines: The page path.
            node: The peer.
            pages_max: How many it may keep at the same time.
            bytes_max: How many bytes of zpages these are.

        Raises:
            NoBench: It has no link, or no room to spare.
        """
        self._machines = machines
        self._pages_max = pages_max
        self._node = node
        self._holder = self._find(bytes_max)
        # What is there, or may be, the oldest first; and the checksum of each.
        self.serials: list[int] = []
        self._checksums: dict[int, int] = {}
        self.in_flight = 0

    def _find(self, bytes_max: int) -> Holder:
        nodes = self._machines.nodes
        status = nodes.status(self._node) if self._node in nodes else None
        incarnation = nodes.incarnation(self._node) if self._node in nodes else None
        if status is None or incarnation is None or not nodes.is_linked(self._node):
            raise NoBench("no link")
        if any(each.node == self._node and each.is_cordoned for each in nodes.candidates()):
            raise NoBench("cordoned or draining: it gets no pages")
        if not status.is_accepting:
            raise NoBench("takes no pages now: it is full, or starved")
        after = status.pressure + bytes_max / status.budget_bytes
        if status.free_bytes < ROOM_FACTOR * bytes_max or after > PRESSURE_MAX:
            raise NoBench("nearly full: repeat with fewer --bytes")
        return self._machines.holders.of(self._node, incarnation)

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be put there: its incarnation has ended, or we leave."""
        return self._holder.is_dead or self._machines.is_leaving

    def put(self, zpages: Sequence[Zpage], on_done: OnPut) -> list[int]:
        """Have the peer keep pages; return their serials.

        They leave at the end of the pass.  Beyond `pages_max`, and some more, the oldest are
        flushed.
        """
        machines = self._machines
        serials = machines.store.versions.take_serials(len(zpages))
        # What they take the place of is flushed in company, as that of other pages is.
        excess = len(self.serials) + len(serials) - self._pages_max
        if excess >= FLUSHED_PAGES:
            self._flush(excess)
        packed, bodies, checksums = zip(*zpages, strict=True)
        self.serials += serials
        self._checksums |= zip(serials, checksums, strict=True)
        self._send(
            BenchPut(len(serials), partial(self._on_put, on_done)),
            put_table(PoolKind.EPHEMERAL, serials, checksums, packed),
            b"".join(bodies),
        )
        return serials

    def get(self, serials: Sequence[int], on_done: OnGet) -> None:
        """Ask the peer for pages, at the end of the pass; `decode` unpacks them."""
        request = BenchGet(len(serials), partial(self._on_get, on_done))
        self._send(request, get_table(serials), b"")

    def end(self) -> None:
        """Flush all that is there, at the end of the pass, or when there is a link again."""
        self._flush(len(self.serials))

    def _flush(self, count: int) -> None:
        """Flush the oldest."""
        serials = self.serials[:count]
        del self.serials[:count]
        for serial in serials:
            del self._checksums[serial]
        if serials and not self._holder.is_dead:
            self._machines.flushes.owe_unknown(self._holder, serials)

    def _send(self, request: BenchPut | BenchGet, table: bytes, body: bytes) -> None:
        assert self.in_flight < BENCH_IN_FLIGHT_MAX
        self.in_flight += 1
        machines = self._machines
        request_id = machines.outbox.next_request_id()
        machines.bench.begin(request_id, request)
        is_put = isinstance(request, BenchPut)
        machines.outbox.add(
            Send(
                self._node,
                MessageType.PUT_PAGES if is_put else MessageType.GET_PAGES,
                request.pages_count,
                table,
                body,
                request_id,
                seconds_max=machines.remote.request_seconds_max,
            )
        )

    def _on_put(self, on_done: OnPut, results: bytes | None) -> None:
        self.in_flight -= 1
        on_done(results)

    def _on_get(self, on_done: OnGet, answer: tuple[Sequence[int], memoryview] | None) -> None:
        self.in_flight -= 1
        on_done(answer)

    def decode(self, serials: Sequence[int], packed: Sequence[int], body: memoryview) -> int:
        """Unpack the pages of an answer, compare their checksums, and return how many there are.

        The others are missing: a peer may drop what may vanish.

        Raises:
            CorruptPage: One is not what was put.
        """
        found = start = 0
        for serial, code in zip(serials, packed, strict=True):
            if code and serial in self._checksums:  # else it was flushed meanwhile
                zpage = body[start : start + zpage_bytes(code)]
                decode_page(code, zpage, self._checksums[serial])
                found += 1
            start += zpage_bytes(code)
        return found
