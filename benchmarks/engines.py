"""Whole engines in one process, on a clock of their own: what they send each other is handed over as it is, without sockets.

A pass is what an engine does in one call of its shell: a frame, or a deadline, and what that leads to.  It is measured by
the processor time of this process: others may be busy on the same cores.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core import extents
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId
from ramsterd.core.store import Store
from ramsterd.pagepath.effects import Replicated, Send
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.pagepath.machines import limits_of

MIB = 1 << 20
OWNER, HOLDER = NodeId(0), NodeId(1)
INCARNATION = Incarnation(1)
OBJECT = b"disk"
RUN_PAGES = 32
# What the server of disks drops in one pass.
DROPPED_PAGES = 1024


@dataclass(slots=True)
class Node:
    """An engine, the frames that it was sent and from whom, and how long its passes took."""

    engine: Engine
    incoming: list[tuple[NodeId, Send]] = field(default_factory=list)
    longest: float = 0.0
    seconds: float = 0.0
    replicated: int = 0


class Engines:
    """An owner and its holders on a clock of their own, which stands still while they work."""

    def __init__(self, pages: int, *, nodes: int = 2, **remote: int) -> None:
        self.now = 0.0
        self.is_linked = False
        self.cluster = ClusterConfig(
            name="bench",
            node=tuple(
                NodeConfig(number=n, name=f"n{n}", address="127.0.0.1", port=7700 + n)
                for n in range(nodes)
            ),
        )
        # Twice what small pages take: two of five nodes may have to keep all of them.
        budget = max(64 * MIB, 256 * pages)
        settings = {"copies": 1, "repatriate_pages_per_second": 0} | remote
        self.nodes = {
            NodeId(n): Node(self._engine(NodeId(n), budget, settings)) for n in range(nodes)
        }

    def _engine(self, number: NodeId, budget: int, settings: dict[str, int]) -> Engine:
        memory = MemoryConfig(budget=budget, budget_max=budget, tables_max=4 * budget)
        remote = RemoteConfig(**settings)  # type: ignore[arg-type]  # names are dynamic
        daemon = DaemonConfig(node=f"n{number}", cluster=None, memory=memory, remote=remote)  # type: ignore[arg-type]  # nothing is read
        return Engine(
            daemon=daemon,
            cluster=self.cluster,
            local=number,
            incarnation=INCARNATION,
            kept=KeptPages(store=Store(MemfdMapping, limits_of(daemon.memory))),
            rng=random.Random(number),
        )

    def others(self, number: NodeId) -> list[NodeId]:
        """Return all but one."""
        return [each for each in self.nodes if each != number]

    def link(self) -> None:
        """Link all with each other."""
        self.is_linked = True
        for number, node in self.nodes.items():
            for peer in self.others(number):
                self.pass_of(node, lambda e, p=peer: e.on_link_up(p, INCARNATION, now=self.now))  # type: ignore[misc]  # bound at once

    def cut(self) -> None:
        """Lose all links, and what is on its way."""
        self.is_linked = False
        for number, node in self.nodes.items():
            node.incoming.clear()
            for peer in self.others(number):
                self.pass_of(node, lambda e, p=peer: e.on_link_lost(p, INCARNATION, now=self.now))  # type: ignore[misc]  # bound at once

    def end(self, number: NodeId) -> None:
        """A node ends, and is no member any more."""
        del self.nodes[number]
        for node in self.nodes.values():
            node.incoming = [each for each in node.incoming if each[0] != number]
            self.pass_of(node, lambda e: e.on_link_lost(number, INCARNATION, now=self.now))
            self.pass_of(node, lambda e: e.on_member_removed(number))

    def pass_of(self, node: Node, act: Callable[[Engine], object]) -> None:
        """Do one pass, as the shell does."""
        began = time.process_time()
        act(node.engine)
        effects, is_over = [], False
        while not is_over:
            some = node.engine.settle(self.now)
            effects += some
            is_over = all(isinstance(each, Send) for each in some)  # as `Peers` does
        seconds = time.process_time() - began
        node.longest = max(node.longest, seconds)
        node.seconds += seconds
        source = node.engine.nodes.local
        for effect in effects:
            if isinstance(effect, Send) and self.is_linked and effect.node in self.nodes:
                self.nodes[effect.node].incoming.append((source, effect))
            node.replicated += isinstance(effect, Replicated)

    def run(self, seconds: float) -> None:
        """Let everything happen that happens within so many seconds."""
        until = self.now + seconds
        while True:
            for node in self.nodes.values():
                incoming, node.incoming = node.incoming, []
                for source, send in incoming:
                    frame = Frame(
                        send.type, send.is_reply, send.request_id, send.count,
                        memoryview(send.table), memoryview(send.body),
                    )  # fmt: skip
                    self.pass_of(
                        node,
                        lambda e, p=source, f=frame: e.on_frame(p, INCARNATION, f, now=self.now),  # type: ignore[misc]  # bound at once
                    )
            if any(node.incoming for node in self.nodes.values()):
                continue
            due = min(node.engine.next_deadline() for node in self.nodes.values())
            if due > until:
                break
            self.now = max(self.now, due)
            for node in self.nodes.values():
                if node.engine.next_deadline() <= self.now:
                    self.pass_of(node, lambda e: e.on_deadline(self.now))
        self.now = until

    def longest(self) -> dict[NodeId, float]:
        """Return the longest pass of each since the last call, in milliseconds."""
        found = {number: 1e3 * node.longest for number, node in self.nodes.items()}
        for node in self.nodes.values():
            node.longest = 0.0
        return found

    def seconds(self) -> float:
        """Return how long all passes of all nodes took since the last call."""
        found = sum(node.seconds for node in self.nodes.values())
        for node in self.nodes.values():
            node.seconds = 0.0
        return found


def small_pages(count: int) -> memoryview:
    """Return different pages that pack into one chunk, the same ones each time."""
    pages = (each.to_bytes(8, "little") + bytes(PAGE_BYTES - 8) for each in range(1, count + 1))
    return memoryview(b"".join(pages))


def fill(pair: Engines, pool: PoolId, pages: int) -> None:
    """Put pages as a client of a disk does."""
    node, run = pair.nodes[OWNER], small_pages(RUN_PAGES)
    for index in range(0, pages, RUN_PAGES):
        pair.pass_of(node, lambda e, i=index: e.store.put(pool, OBJECT, i, run))  # type: ignore[misc]  # bound at once
        if pair.nodes[HOLDER].incoming:
            pair.run(0.0)


def send_all(pair: Engines) -> None:
    """Have nearly all pages of ours leave."""
    engine = pair.nodes[OWNER].engine
    budget = engine.store.zbud.budget_bytes
    engine.set_budget(MIB // 2, now=pair.now)
    before = -1
    while before != engine.store.versions.zpages[Family.OWN_PERSISTENT]:
        before = engine.store.versions.zpages[Family.OWN_PERSISTENT]
        pair.run(1.0)
    engine.set_budget(budget, now=pair.now)


def discard(pair: Engines, pool: PoolId, pages: int) -> None:
    """Discard a disk, in slices."""
    node, position = pair.nodes[OWNER], 0

    def drop(engine: Engine) -> None:
        nonlocal position
        reached, _ = extents.flush_slice(
            engine.store, pool, OBJECT, position, pages - position, pages_max=DROPPED_PAGES
        )
        position += reached

    while position < pages:
        pair.pass_of(node, drop)
        if pair.nodes[HOLDER].incoming:
            pair.run(0.0)
