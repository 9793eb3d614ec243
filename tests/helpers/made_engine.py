"""One engine, alone with what the test says its peers do: node 0 of a cluster, and everything it asks for."""

import random
from pathlib import Path

from config.model import DaemonConfig, MemoryConfig, RemoteConfig
from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from nodemanager.table import PeerStatus
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.pagepath.effects import Effect, Send
from ramsterd.pagepath.engine import Engine
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.wire import MessageType, PutResult
from tests.helpers.clusters import cluster_of
from tests.helpers.made_pages import MIB, joined, make_run
from tests.helpers.node_memories import make_node_memory

ONE, OTHER = NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)
OBJECT = b""
MEMORY = MemoryConfig(budget=2 * MIB, budget_max=2 * MIB, pages_max=1 << 14)
# Raw pages that fill the memory above its high watermark.
FULL = 490
# Passes, or ticks, after which a loop of these helpers has hung.
STEPS_MAX = 10_000


class MadeEngine:
    """See the module's text.  Time stands still but for what a test adds to `now`."""

    def __init__(self, *, peers: int = 2, **remote: float) -> None:
        self.now = 1.0
        self.memory = make_node_memory(MEMORY, Incarnation(9))
        self.engine = Engine(
            daemon=DaemonConfig(
                node="node0",
                cluster=Path("none"),
                memory=MEMORY,
                remote=RemoteConfig(copies=1, **remote),  # type: ignore[arg-type]  # names are dynamic
            ),
            cluster=cluster_of(peers + 1),
            local=NodeId(0),
            incarnation=self.memory.incarnation,
            kept=self.memory.pages,
            rng=random.Random(1),
        )
        self.disk = self.engine.new_pool(PoolKind.PERSISTENT, export_pool("disk"))

    def link(self, node: NodeId, incarnation: Incarnation = INCARNATION) -> None:
        """Open a link to a peer that has room, and end the pass."""
        self.engine.on_link_up(node, incarnation, now=self.now)
        self.hear(node, incarnation)

    def hear(
        self,
        node: NodeId,
        incarnation: Incarnation = INCARNATION,
        *,
        free_bytes: int = 64 * MIB,
        held: int = 1,
    ) -> list[Effect]:
        """Get a STATUS."""
        status = PeerStatus(
            budget_bytes=64 * MIB,
            free_bytes=free_bytes,
            is_accepting=free_bytes > 0,
            pressure=0.0,
            pages_held_for_us=held,
        )
        return self.frame(node, MessageType.STATUS, 1, wire.status_message(status), incarnation)

    def frame(
        self,
        node: NodeId,
        kind: int,
        count: int,
        table: bytes,
        incarnation: Incarnation = INCARNATION,
        *,
        request_id: int = 0,
        is_reply: bool = False,
    ) -> list[Effect]:
        """Get a frame without a body, and end the pass."""
        frame = Frame(kind, is_reply, request_id, count, memoryview(table), memoryview(b""))
        self.engine.on_frame(node, incarnation, frame, now=self.now)
        return self.settle()

    def judge(self, node: NodeId, state: NodeState, incarnation: Incarnation = INCARNATION) -> None:
        self.engine.on_verdict(Verdict(node, state, incarnation, "as told"), now=self.now)

    def put(self, count: int, index: int = 0) -> None:
        """Put raw pages."""
        pages = joined(make_run(PAGE_BYTES, count, index + 1))
        assert self.engine.store.put(self.disk, OBJECT, index, pages) == count

    def settle(self) -> list[Effect]:
        """End the pass; return all that is to be done outside."""
        effects: list[Effect] = []
        for _ in range(STEPS_MAX):
            more = self.engine.settle(self.now)
            effects += more
            if all(isinstance(each, Send) for each in more):  # as `Peers` does
                return effects
        raise AssertionError("a pass does not end")

    def store_at(self, node: NodeId) -> int:
        """Have pages leave for a linked peer, which stores them all; return how many."""
        self.put(FULL)
        sent = 0
        for _ in range(STEPS_MAX):
            puts = sends(self.settle(), MessageType.PUT_PAGES)
            if not puts:
                return sent
            for put in puts:
                assert put.node == node
                sent += put.count
                self.answer_put(put)
        raise AssertionError("there are always more pages to send")

    def answer_put(self, put: Send, result: PutResult = PutResult.STORED) -> list[Effect]:
        """Get the answer to a PUT, the same for all its pages, and end the pass."""
        return self.frame(
            put.node, MessageType.PUT_PAGES, put.count, bytes([result]) * put.count,
            request_id=put.request_id, is_reply=True,
        )  # fmt: skip

    def store_all(self, effects: list[Effect]) -> None:
        """Have peers store all that they are sent, and what leaves because of it."""
        for _ in range(STEPS_MAX):
            puts = sends(effects, MessageType.PUT_PAGES)
            if not puts:
                return
            effects = [each for put in puts for each in self.answer_put(put)]
        raise AssertionError("there are always more pages to send")

    def replicate(self, count: int) -> None:
        """Put raw pages that peers have too, and that stay here as clean ones."""
        self.put(count)
        assert self.engine.replicate(self.disk, OBJECT, 0, count, now=self.now) is not None
        self.store_all(self.settle())

    def get(self, index: int = 0) -> PendingGet:
        """Begin to get a page that only peers have."""
        pending = self.engine.get(self.disk, OBJECT, index, 1, now=self.now)
        assert isinstance(pending, PendingGet)
        return pending

    def get_outcome(self, index: int) -> GetOutcome | None:
        """Get one page, which no peer is asked for; return how that ended, None: with the page or a hole."""
        found = self.engine.get(self.disk, OBJECT, index, 1, now=self.now)
        if not isinstance(found, PendingGet):
            return found if isinstance(found, GetOutcome) else None
        self.settle()
        assert found.is_over
        return found.outcome

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass, tick by tick; return all that is to be done outside."""
        effects: list[Effect] = []
        end = self.now + seconds
        for _ in range(STEPS_MAX):
            if (at := self.engine.next_deadline()) > end:
                self.now = end
                return effects
            self.now = max(at, self.now)
            self.engine.on_deadline(self.now)
            effects += self.settle()
        raise AssertionError("something is always due")


def sends(effects: list[Effect], kind: MessageType | None = None) -> list[Send]:
    """Return the frames among effects, of one kind or all."""
    frames = [each for each in effects if isinstance(each, Send)]
    return [each for each in frames if kind is None or each.type == kind]


def as_frame(send: Send) -> Frame:
    """Return a frame as its receiver has it."""
    return Frame(
        send.type, send.is_reply, send.request_id, send.count,
        memoryview(send.table), memoryview(send.body),
    )  # fmt: skip
