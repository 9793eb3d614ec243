"""The phases of a pass: what stands in front of what, where a peer keeps what it is sent and gives it back."""

import random

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import PeerStatus
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.effects import Effect, GetDone, Send
from ramsterd.pagepath.engine import Engine
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.wire import MessageType, PutPages, PutResult
from tests.helpers import columns
from tests.helpers.dropping import drop_run
from tests.helpers.fresh_pages import fresh_pages
from tests.helpers.made_engine import as_frame
from tests.helpers.made_owner import BLOCK_PAGES
from tests.helpers.made_pages import MIB, joined, make_run

LOCAL, PEER = NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)
OBJECT = b"disk"
# Blocks of raw pages: the first number above the high watermark, and the last below the low one.
SHORT_BLOCKS, LOW_BLOCKS = 30, 27
SENT_PAGES = (SHORT_BLOCKS - LOW_BLOCKS) * BLOCK_PAGES


class Node:
    """An engine of 2 MiB with a disk, and one linked peer that keeps what it is sent, by serial."""

    def __init__(self, *, sends_ephemeral: bool = False) -> None:
        members = tuple(
            NodeConfig(number=n, name=f"n{n}", address="127.0.0.1", port=7700 + n)
            for n in (LOCAL, PEER)
        )
        self.engine = Engine(
            daemon=DaemonConfig(
                node="n1",
                cluster=None,  # type: ignore[arg-type]  # nothing is read
                memory=MemoryConfig(budget=2 * MIB),
                remote=RemoteConfig(copies=1, ephemeral=sends_ephemeral),
            ),
            cluster=ClusterConfig(name="test", node=members),
            local=LOCAL,
            incarnation=INCARNATION,
            kept=fresh_pages(MemoryConfig(budget=2 * MIB)),
            rng=random.Random(1),
        )
        self.pool = self.engine.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        self.cache = self.engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        # By serial: packed number and zpage.
        self.kept: dict[int, tuple[int, bytes]] = {}
        self.engine.on_link_up(PEER, INCARNATION, now=0.0)
        self.tell()
        self.settle()

    # The peer.

    def tell(self) -> None:
        """The peer says that it has room, and some of our pages."""
        status = PeerStatus(
            free_bytes=64 * MIB,
            budget_bytes=64 * MIB,
            is_accepting=True,
            pressure=0.0,
            pages_held_for_us=1,
        )
        self.hear(MessageType.STATUS, 1, wire.status_message(status))

    def hear(self, kind: MessageType, count: int, table: bytes, now: float = 0.0) -> None:
        """The peer asks for something, or tells."""
        frame = Frame(kind, False, 0, count, memoryview(table), memoryview(b""))
        self.engine.on_frame(PEER, INCARNATION, frame, now=now)

    def answer(self, sends: list[Send], now: float = 0.0) -> None:
        """Have the peer answer all requests among these, as one that keeps all."""
        for send in sends:
            if not send.request_id:
                continue
            table, body = bytes(send.count * [PutResult.STORED]), b""
            frame = as_frame(send)
            if send.type == MessageType.PUT_PAGES:
                self._keep(PutPages.parse(frame))
            else:
                found = [self.kept[serial] for serial in wire.parse_get(frame)]
                table = wire.get_reply_table([packed for packed, _ in found])
                body = b"".join(zpage for _, zpage in found)
            reply = Frame(
                send.type, True, send.request_id, send.count, memoryview(table), memoryview(body)
            )
            self.engine.on_frame(PEER, INCARNATION, reply, now=now)

    def _keep(self, put: PutPages) -> None:
        start = 0
        for serial, packed in zip(put.serials, put.packed, strict=True):
            end = start + (packed & 0x1FFF)
            self.kept[serial] = packed, bytes(put.body[start:end])
            start = end

    # The node.

    def put_blocks(self, first: int, blocks: int) -> None:
        """Put blocks of the disk."""
        pages = joined(make_run(PAGE_BYTES, blocks * BLOCK_PAGES, first + 1))
        stored = self.engine.store.put(self.pool, OBJECT, first * BLOCK_PAGES, pages)
        assert stored == blocks * BLOCK_PAGES

    def cache_blocks(self, blocks: int) -> None:
        pages = joined(make_run(PAGE_BYTES, blocks * BLOCK_PAGES))
        assert self.engine.store.put(self.cache, OBJECT, 0, pages) == blocks * BLOCK_PAGES

    def send_away(self) -> None:
        """Have the oldest blocks be at the peer."""
        self.put_blocks(0, SHORT_BLOCKS)
        self.answer(self.settle())
        assert len(self.kept) == SENT_PAGES
        self.settle()

    def get(self, index: int) -> PendingGet:
        found = self.engine.get(self.pool, OBJECT, index, 1, now=0.0)
        assert isinstance(found, PendingGet)
        return found

    def flush(self, index: int, count: int = 1) -> None:
        drop_run(self.engine.store, self.pool, OBJECT, index, count)

    def effects(self, now: float = 0.0) -> list[Effect]:
        """End a pass; return all that is to be done."""
        effects = self.engine.settle(now)
        self.engine.check_invariants()
        return effects

    def settle(self, now: float = 0.0) -> list[Send]:
        """End a pass; return the frames for the peer, its STATUS apart."""
        return [
            each
            for each in self.effects(now)
            if isinstance(each, Send) and each.type != MessageType.STATUS
        ]

    def tick(self, now: float) -> list[Send]:
        """Do what is due; return the frames for the peer."""
        self.engine.on_deadline(now)
        return self.settle(now)

    def zpages(self, family: Family) -> int:
        return self.engine.store.versions.zpages[family]


def types(sends: list[Send]) -> list[int]:
    return [each.type for each in sends]


PUT, GET, FLUSH = MessageType.PUT_PAGES, MessageType.GET_PAGES, MessageType.FLUSH_PAGES


# What a peer is owed.


def test_what_an_unknown_put_is_owed_leaves_before_it_is_sent_again() -> None:
    node = Node()
    node.put_blocks(0, SHORT_BLOCKS)
    [put] = node.settle(0.0)
    node.engine.on_request_failed(put.request_id)
    assert node.settle(0.0) == [], "it did not answer: it is left alone"
    node.tell()
    flush, again = node.settle(1000.0)
    assert types([flush, again]) == [FLUSH, PUT]
    [(first, last)] = columns.ranges_of(*wire.parse_flush(as_frame(flush)))
    assert set(PutPages.parse(as_frame(again)).serials) >= set(range(first, last + 1))


def test_an_owed_flush_that_is_due_leaves_behind_a_get() -> None:
    """Somebody waits for the page, and nobody for the flush."""
    node = Node()
    node.send_away()
    node.flush(0)
    node.settle(0.0)
    node.get(1)
    assert types(node.settle(1.0)) == [GET, FLUSH]


# Room.


def test_the_cache_is_dropped_before_the_disk_travels_for_the_same_room() -> None:
    node = Node()
    node.put_blocks(0, LOW_BLOCKS)
    node.cache_blocks(SHORT_BLOCKS - LOW_BLOCKS)
    assert node.settle() == []
    assert node.zpages(Family.OWN_EPHEMERAL) == 0
    assert node.zpages(Family.OWN_PERSISTENT) == LOW_BLOCKS * BLOCK_PAGES


def test_what_comes_home_is_adopted_before_anything_clean_is_dropped() -> None:
    """Else it would be dropped as a clean copy, and the peer that wants its memory be asked again."""
    node = Node()
    node.send_away()
    node.hear(MessageType.RECALL, 1, wire.recall_table(0))
    gets = [each for now in (0.5, 1.0, 1.5) for each in node.tick(now)]
    assert set(types(gets)) == {GET}
    node.put_blocks(SHORT_BLOCKS, 1)
    node.answer(gets, 1.6)
    came = node.zpages(Family.OWN_CLEAN)
    assert came
    assert node.engine.store.room.is_short()
    ours = node.zpages(Family.OWN_PERSISTENT)
    node.settle(1.6)
    assert node.zpages(Family.OWN_CLEAN) == 0
    assert node.zpages(Family.OWN_PERSISTENT) == ours + came


def test_puts_leave_before_gets() -> None:
    """Writes wait for the room; a holder that is sent pages is not checked meanwhile."""
    node = Node()
    node.send_away()
    node.get(0)
    node.put_blocks(SHORT_BLOCKS, 3)
    assert types(node.settle()) == [PUT, GET]


def test_after_the_farewell_no_page_leaves() -> None:
    node = Node()
    node.engine.farewell()
    node.settle()
    node.put_blocks(0, SHORT_BLOCKS)
    assert node.settle() == []


# Gets.


def test_a_get_that_is_asked_for_ends_with_the_answer() -> None:
    node = Node()
    node.send_away()
    pending = node.get(0)
    node.answer(node.settle())
    assert GetDone(pending) in node.effects()


def test_a_get_that_is_given_up_as_it_would_be_sent_ends_in_the_same_pass() -> None:
    """The page may vanish, and its holder can't be asked: a miss now, for nobody waits for another pass."""
    node = Node(sends_ephemeral=True)
    node.cache_blocks(SHORT_BLOCKS)
    node.answer(node.settle())
    node.engine.on_link_lost(PEER, INCARNATION, now=0.0)
    node.settle()
    pending = node.engine.get(node.cache, OBJECT, 0, 1, now=0.0)
    assert isinstance(pending, PendingGet)
    assert GetDone(pending) in node.effects()


def test_a_get_whose_holder_has_ended_ends_in_the_pass_that_finds_out() -> None:
    """It was given up in this very pass, and nobody waits for another one."""
    node = Node()
    node.send_away()
    pending = node.get(0)
    node.engine.on_member_removed(PEER)
    assert GetDone(pending) in node.effects()
