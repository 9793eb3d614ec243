"""An owner of pages for the tests of what brings them home: a store, and peers that are plain lists of zpages."""

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.family import Family
from ramsterd.core.leaving import Leaving, begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.size_classes import SLOT_SHIFT
from ramsterd.remote import wire
from ramsterd.remote.fetch.fetch import Fetches
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.fetch.read_ahead import ReadAhead
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.reach import ReachableCopies
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.home.leaf_fetch import LeafFetch
from ramsterd.remote.home.surroundings import Surroundings
from ramsterd.remote.wire import MessageType
from tests.helpers.made_pages import MIB, joined, make_run, make_store

ONE, OTHER, THIRD = NodeId(1), NodeId(2), NodeId(3)
INCARNATION = Incarnation(1)
# Raw pages in a block; a leaf of the page table has four blocks of these.
BLOCK_PAGES = 16
LEAF_PAGES = 64


class Owner:
    """A store some of whose blocks have left, who is linked, and what peers would take."""

    def __init__(self, *, copies: int = 1, budget_bytes: int = 2 * MIB) -> None:
        self.store = make_store(budget_bytes)
        self.holders = Holders()
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"), copies=copies)
        self.linked = {ONE, OTHER, THIRD}
        # Those that left in order.
        self.left: set[NodeId] = set()
        # How many peers would take a block, and how often room was asked for.
        self.placeable = 3
        self.room_asked = 0
        self.thinned: list[int] = []
        # Whose copies were bad, and how.
        self.bad: list[tuple[NodeId, BadCopy]] = []
        self.read_ahead = ReadAhead(self.store, bytes_max=MIB)
        self.fetches = Fetches(
            self.store,
            self.holders,
            in_flight_max=32,
            read_ahead=self.read_ahead,
            is_reachable=self.is_reachable,
            may_come_back=lambda holder: holder.node not in self.left,
            on_thinned=self.thinned.append,
            on_bad_holder=self.on_bad_holder,
        )
        # By serial: packed number and zpage, as peers keep them.
        self._zpages: dict[int, tuple[int, bytes]] = {}
        self._index = 0
        self._request_id = 0
        # What was asked for, by request.
        self._serials: dict[int, list[int]] = {}

    # What a machine asks of its surroundings.

    def is_reachable(self, holder: Holder) -> bool:
        return holder.node in self.linked and not holder.is_dead

    def copies_at(self, holders: tuple[int, ...]) -> ReachableCopies:
        lives = [each for each in map(self.holders.__getitem__, holders) if self.is_reachable(each)]
        return ReachableCopies(len(lives), len(lives), frozenset(each.node for each in lives))

    def reachable_holders(self, row: int) -> int:
        return self.copies_at(tuple(self.store.rows.holders(row))).reachable

    def room(self, _: float) -> dict[NodeId, int]:
        """Return the peers that would take a block, and how much."""
        return dict.fromkeys((ONE, OTHER, THIRD)[: self.placeable], 1 << 30)

    def placeable_nodes(self) -> int:
        return self.placeable

    def on_bad_holder(self, holder: int, kind: BadCopy, now: float) -> None:
        self.bad.append((self.holders[holder].node, kind))

    def make_room(self) -> None:
        self.room_asked += 1

    def surroundings(self) -> Surroundings:
        return Surroundings(
            copies_at=self.copies_at,
            placeable_nodes=self.placeable_nodes,
            room=self.room,
            make_room=self.make_room,
        )

    def leaf_fetch(self) -> LeafFetch:
        return LeafFetch(self.store, self.fetches, fetch_seconds_max=10)

    # What is there.

    def holder(self, node: NodeId) -> Holder:
        return self.holders.of(node, INCARNATION)

    def put(self, count: int, *, pool: PoolId | None = None, zbytes: int = PAGE_BYTES) -> int:
        """Put new pages, one behind the other; return the index of the first."""
        first, self._index = self._index, self._index + count
        pages = joined(make_run(zbytes, count, first + 1))
        assert self.store.put(pool or self.pool, b"", first, pages) == count
        return first

    def send(
        self, *nodes: NodeId, blocks: int = 1, stays: bool = False, kind: PoolKind | None = None
    ) -> list[int]:
        """Have the oldest blocks leave for these nodes; return the rows of their pages."""
        is_ephemeral = kind is PoolKind.EPHEMERAL
        family = Family.OWN_EPHEMERAL if is_ephemeral else Family.OWN_PERSISTENT
        rows: list[int] = []
        for _ in range(blocks):
            block = self.store.zbud.oldest(family)
            assert block is not None
            leaving = begin_leaving(self.store.versions, block)
            self._keep_zpages(leaving)
            end = keep_leaving if stays else end_leaving
            holders = [self.holder(node) for node in nodes]
            assert end(self.store.versions, leaving, *(each.id for each in holders)) == []
            for each in holders:
                each.on_pages_kept(len(leaving.rows))
            rows += leaving.rows
        return rows

    def _keep_zpages(self, leaving: Leaving) -> None:
        start = 0
        for serial, packed in zip(leaving.serials, leaving.packed, strict=True):
            end = start + (packed & ZPAGE_BYTES_MASK)
            self._zpages[serial] = packed, leaving.body[start:end]
            start = end

    def put_and_send(self, *nodes: NodeId, blocks: int = 1, stays: bool = False) -> list[int]:
        """Put whole blocks of pages and have them leave; return their rows."""
        self.put(blocks * BLOCK_PAGES)
        return self.send(*nodes, blocks=blocks, stays=stays)

    def is_ours_alone(self, row: int) -> bool:
        location = self.store.rows.location(row)
        family = self.store.zbud.family_of_block[location >> SLOT_SHIFT]
        return bool(location) and family == Family.OWN_PERSISTENT

    def flush(self) -> dict[NodeId, int]:
        """Pay what is owed; return how many flushes each node got."""
        paid: dict[NodeId, int] = {}
        for holder, serials in self.store.versions.take_owed().items():
            self.holders[holder].on_pages_gone(len(serials))
            paid[self.holders[holder].node] = len(serials)
        return paid

    # What comes.

    def asked(self) -> int:
        """Return how many pages peers are about to be asked for."""
        return self.fetches.statistics().wanted_pages

    def begin_requests(self, now: float = 0.0) -> list[int]:
        """Ask peers for all that is queued for them; return the ids of the requests."""
        first = self._request_id + 1
        for holder in self.fetches.queued_holders():
            for request in self.fetches.take_requests(holder):
                self._request_id += 1
                self._serials[self._request_id] = request.serials
                self.fetches.begin(self._request_id, request, now)
        return list(range(first, self._request_id + 1))

    def reply(self, request_id: int, now: float = 0.0, *, flip: int = 0) -> list[PendingGet]:
        """Have a peer answer a request, with bits of each zpage flipped if it is to be; return the gets that ended."""
        self.fetches.on_reply(request_id, self._reply(request_id, flip), now)
        self.fetches.check_invariants()
        self.store.check_invariants()
        return self.fetches.take_done()

    def answer(self, now: float = 0.0) -> list[PendingGet]:
        """Have peers answer all that they are asked for; return the gets that ended."""
        done = [
            each for request_id in self.begin_requests(now) for each in self.reply(request_id, now)
        ]
        return done + self.fetches.take_done()

    def reply_missing(self, request_id: int, now: float = 0.0) -> None:
        """Have a peer answer a request: it has none of the pages."""
        count = len(self._serials[request_id])
        table = memoryview(wire.get_reply_table([0] * count))
        frame = Frame(MessageType.GET_PAGES, True, request_id, count, table, memoryview(b""))
        self.fetches.on_reply(request_id, frame, now)

    def _reply(self, request_id: int, flip: int) -> Frame:
        serials = self._serials[request_id]
        packed = [self._zpages[serial][0] for serial in serials]
        body = b"".join(self._zpages[serial][1] for serial in serials)
        return Frame(
            type=MessageType.GET_PAGES,
            is_reply=True,
            request_id=request_id,
            count=len(serials),
            table=memoryview(wire.get_reply_table(packed)),
            body=memoryview(bytes(byte ^ flip for byte in body) if flip else body),
        )
