"""Any frames of a linked peer end its link with a named reason or leave all tables agreeing; what comes back from it is the page that was put, or is lost."""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig
from net.errors import RemoteProtocolError
from net.frame import Frame, FrameDecoder, LinkType
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import PeerStatus
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.codec import encode_page
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.effects import CloseLink, Effect, GetDone, Send
from ramsterd.pagepath.engine import Engine
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.wire import LIMITS, MessageType
from tests.fuzz.decoding import decoded
from tests.fuzz.repairing import Parts, repair_frames
from tests.fuzz.target import Target
from tests.fuzz.targets.messages import put, repair as repair_messages
from tests.helpers.dropping import drop_run
from tests.helpers.fresh_pages import fresh_pages
from tests.helpers.links import make_frame

OURS, THEIRS, INCARNATION = NodeId(0), NodeId(1), Incarnation(5)
CLUSTER: Final = ClusterConfig(
    name="lab",
    node=tuple(
        NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7000 + number)
        for number in (OURS, THEIRS)
    ),
)
# Full at once, so that pages leave.
DAEMON: Final = DaemonConfig(
    node="n0",
    cluster="cluster.toml",  # type: ignore[arg-type]  # never opened
    memory=MemoryConfig(
        budget=2 << 20, budget_max=2 << 20, high_watermark=0.001, low_watermark=0.0005, pages_max=4096
    ),
)  # fmt: skip
PAGES: Final = [random.Random(each).randbytes(64) * 64 for each in range(8)]
OBJECT: Final = b"disk"
STATUS: Final = PeerStatus(
    budget_bytes=1 << 30, free_bytes=1 << 29, is_accepting=True, pressure=0.0, pages_held_for_us=8
)
# What happens here, said by the request id of a KEEPALIVE in the stream.
WAIT, GET, PUT, FLUSH, RELINK, FAIL, ATTACH = range(7)
TICK_SECONDS: Final = 0.6


class Node:
    """The engine of node 0, linked to node 1, and its requests to it."""

    def __init__(self) -> None:
        self.outcomes: set[str] = set()
        self.is_linked = False
        self._attach_count = 0
        self._was_flushed = False
        self._now = 1.0
        self._in_flight: dict[int, MessageType] = {}
        self._engine = Engine(
            daemon=DAEMON,
            cluster=CLUSTER,
            local=OURS,
            incarnation=Incarnation(9),
            kept=fresh_pages(DAEMON.memory, MemfdMapping),
            rng=random.Random(1),
        )
        self._pool = self._engine.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        self._link()
        self.put()

    def put(self) -> None:
        """Put the pages; they are too many to stay."""
        self._engine.store.put(self._pool, OBJECT, 0, memoryview(b"".join(PAGES)))
        self._settle()

    def get(self) -> None:
        """Ask for all pages."""
        count = len(PAGES)
        found = self._engine.get(self._pool, OBJECT, 0, count, now=self._now)
        if not isinstance(found, PendingGet):
            self._judge(found)
        self._settle()

    def flush(self) -> None:
        """Drop half of the pages."""
        self._was_flushed = True
        drop_run(self._engine.store, self._pool, OBJECT, 0, len(PAGES) // 2)
        self._settle()

    def wait(self) -> None:
        """Let time pass."""
        self._now += TICK_SECONDS
        self._engine.on_deadline(self._now)
        self._settle()

    def fail(self) -> None:
        """Have the oldest request time out."""
        if self._in_flight:
            request_id = next(iter(self._in_flight))
            del self._in_flight[request_id]
            self._engine.on_request_failed(request_id)
            self._settle()

    def relink(self) -> None:
        """Lose the link, and have it again."""
        self._unlink()
        self._link()

    def attach(self) -> None:
        """Lose the link, and have one to the next process of the peer: it is asked what it keeps."""
        self._attach_count += 1
        self.relink()
        self.wait()

    def receive(self, found: Frame) -> None:
        """Take one frame of the peer, as its link passes it on."""
        if found.is_reply and self._in_flight.pop(found.request_id, None) is None:
            self.outcomes.add("late")
            return
        kind = f"{MessageType(found.type).name}{' reply' if found.is_reply else ''}"
        try:
            self._engine.on_frame(THEIRS, INCARNATION, found, now=self._now)
        except RemoteProtocolError as error:
            assert str(error).isprintable(), "it stands in a log"
            self.outcomes.add(f"refused {kind}")
            self._unlink()
            self._link()
        else:
            self.outcomes.add(kind)
            self._settle()

    def end(self) -> None:
        """Look at the whole: alone again, nothing may be under way."""
        self._unlink()
        self._now += 100
        self._engine.on_deadline(self._now)
        self._settle()
        statistics = self._engine.statistics()
        assert not statistics.fetch.requests_in_flight
        assert not statistics.remotify.requests_in_flight

    def _link(self) -> None:
        self.is_linked = True
        self._engine.on_link_up(THEIRS, INCARNATION, attach_count=self._attach_count, now=self._now)
        status = make_frame(MessageType.STATUS, 1, wire.status_message(STATUS))
        for each in decoded(status, LIMITS):
            self._engine.on_frame(THEIRS, INCARNATION, each, now=self._now)
        self._settle()

    def _unlink(self) -> None:
        self.is_linked = False
        for request_id in self._in_flight:
            self._engine.on_request_failed(request_id)
        self._in_flight.clear()
        self._engine.on_link_lost(THEIRS, INCARNATION, now=self._now)
        self._settle()

    def _settle(self) -> None:
        while effects := self._engine.settle(self._now):
            self._perform(effects)
        self._engine.check_invariants()

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect)
                case GetDone(pending):
                    self._judge(pending.outcome or pending.pages)
                case CloseLink():
                    self.outcomes.add("closes")
                case _:
                    pass

    def _send(self, send: Send) -> None:
        limits = LIMITS[send.type]
        assert send.count <= limits.count_max
        assert len(send.table) <= limits.table_bytes_max
        assert len(send.body) <= limits.body_bytes_max
        if not send.seconds_max:
            return
        if self.is_linked:
            self._in_flight[send.request_id] = MessageType(send.type)
        else:
            self._engine.on_request_failed(send.request_id)

    def _judge(self, found: GetOutcome | Sequence[bytes | None]) -> None:
        """No page is anything but what was put, or nothing once it was flushed."""
        if isinstance(found, GetOutcome):
            self.outcomes.add(f"get {found.name}")
            return
        assert len(found) == len(PAGES)
        for place, page in enumerate(found):
            may_miss = self._was_flushed and place < len(PAGES) // 2
            assert page == PAGES[place] or (page is None and may_miss), "another page"
        self.outcomes.add("get")


def check(data: bytes) -> set[str]:
    node = Node()
    acts = {WAIT: node.wait, GET: node.get, PUT: node.put, FLUSH: node.flush}
    acts |= {RELINK: node.relink, FAIL: node.fail, ATTACH: node.attach}
    for found in decoded(data, LIMITS):
        if found.type == LinkType.KEEPALIVE:
            acts[found.request_id % len(acts)]()
        elif found.type in LIMITS:
            node.receive(found)
    node.end()
    return node.outcomes


def act(*numbers: int) -> bytes:
    return b"".join(make_frame(LinkType.KEEPALIVE, request_id=number) for number in numbers)


def stored(request_id: int, results: bytes = bytes(len(PAGES))) -> bytes:
    return make_frame(
        MessageType.PUT_PAGES, len(results), results, request_id=request_id, is_reply=True
    )  # fmt: skip


def got(request_id: int, *, broken: bool = False) -> bytes:
    packed, zpages, _ = zip(*map(encode_page, PAGES), strict=True)
    body = b"".join(zpages)
    return make_frame(
        MessageType.GET_PAGES,
        len(PAGES),
        wire.get_reply_table(packed),
        body[:50] + b"\xff" + body[51:] if broken else body,
        request_id=request_id,
        is_reply=True,
    )


def listed(request_id: int, ranges: list[tuple[int, int]]) -> bytes:
    table = wire.list_reply_table(wire.PageList(ranges, wire.SERIAL_MAX))
    return make_frame(
        MessageType.LIST_PAGES, len(ranges), table, request_id=request_id, is_reply=True
    )  # fmt: skip


def seeds() -> Mapping[str, bytes]:
    foreign = put(PoolKind.PERSISTENT, [encode_page(page) for page in PAGES[:3]])
    ask = make_frame(MessageType.GET_PAGES, 2, wire.get_table([1, 99]), request_id=2)
    drop = make_frame(MessageType.FLUSH_PAGES, 1, wire.flush_table([(1, 2)]))
    leave = make_frame(MessageType.FLUSH_OWNER, 1, wire.owner_table(INCARNATION))
    status = make_frame(MessageType.STATUS, 1, wire.status_message(STATUS))
    wrong = b"".join(
        make_frame(kind, 1, b"\xff" * 7, request_id=3) for kind in MessageType if kind != 17
    )
    cycle = stored(1) + act(WAIT, GET) + got(2)
    recall, no_recall = (
        make_frame(MessageType.RECALL, 1, wire.recall_table(pages)) for pages in (2, wire.PAGES_ANY)
    )
    return {
        "recall": stored(1) + recall + act(WAIT, WAIT) + got(2) + act(WAIT) + no_recall + act(GET),
        "foreign": foreign + ask + drop + ask + status + leave + ask + act(WAIT, WAIT),
        "home": cycle + act(GET, PUT, WAIT) + stored(3) + act(FLUSH, WAIT, WAIT, GET),
        "refused": stored(1, b"\1\2\0\1\2\0\1\2") + act(WAIT, WAIT, GET),
        "broken": stored(1) + act(GET) + got(2, broken=True) + act(GET),
        "missing": stored(1)
        + act(GET)
        + make_frame(MessageType.GET_PAGES, 8, bytes(16), request_id=2, is_reply=True),
        "list": make_frame(MessageType.LIST_PAGES, 1, wire.list_table(1), request_id=2) + act(WAIT),
        "attached": stored(1) + act(ATTACH) + listed(2, [(1, 3), (5, 8)]) + act(WAIT, WAIT, GET),
        "attached-wrong": stored(1) + act(ATTACH) + listed(2, [(1, 1 << 40)]) + act(WAIT, GET),
        "lost-link": stored(1) + act(GET, RELINK, GET) + got(3) + act(WAIT),
        "late": act(FAIL) + stored(1) + act(WAIT),
        "wrong": wrong,
        "wrong-replies": stored(1, b"\0") + stored(2, rb"\9" * 8) + act(GET) + got(9),
        "wrong-get": stored(1) + act(GET) + stored(2) + act(GET) + got(3)[:-2],
        "unreachable": stored(1) + act(GET) + act(*[WAIT] * 18),
        "holds-nothing": stored(1)
        + make_frame(MessageType.STATUS, 1, wire.status_message(nothing_held()))
        + act(WAIT, GET),
    }


def nothing_held() -> PeerStatus:
    return PeerStatus(
        budget_bytes=1, free_bytes=1, is_accepting=False, pressure=1.0, pages_held_for_us=0
    )


def repair(data: bytes, rng: random.Random) -> bytes:
    """Repair messages; answers are to one of the first requests and, mostly, about as many pages as it has."""

    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if frame_type == LinkType.KEEPALIVE:
            return 0, b"", b""
        if is_reply and frame_type == MessageType.PUT_PAGES and rng.random() < 0.8:
            return len(PAGES), table.ljust(len(PAGES), b"\0")[: len(PAGES)], b""
        again = repair_messages(make_frame(frame_type, count, table, body, is_reply=is_reply), rng)
        for found in decoded(again, LIMITS):
            return found.count, bytes(found.table), bytes(found.body)
        return count, table, body

    keepalive = FrameDecoder({})._limits[LinkType.KEEPALIVE]
    return repair_frames(data, {**LIMITS, LinkType.KEEPALIVE: keepalive}, repair_parts)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {
            "STATUS",
            "PUT_PAGES",
            "GET_PAGES",
            "FLUSH_PAGES",
            "FLUSH_OWNER",
            "RECALL",
            "LIST_PAGES",
            "PUT_PAGES reply",
            "LIST_PAGES reply",
            "refused LIST_PAGES reply",
        }
        | {"GET_PAGES reply", "get", "get LOST", "get UNREACHABLE", "late"}
        | {"refused PUT_PAGES reply", "refused GET_PAGES", "refused FLUSH_PAGES", "refused STATUS"}
    ),
    repair=repair,
    bytes_max=8192,
)
