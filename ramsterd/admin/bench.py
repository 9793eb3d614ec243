"""`ramsterctl bench` in the daemon: one benchmark at a time, of this node's zcache and of each peer.

What is measured, and what it may use, is in docs/design/0020-bench.md.  It ends by itself when
nobody asks how far it is.
"""

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from config.errors import Mismatch
from config.kinds import Size
from config.limits import PAGE_BYTES
from config.reader import show
from config.units import format_bytes, human_bytes
from nodemanager.ids import NodeId
from ramsterd.admin.bench_local import LocalPool, LocalRow
from ramsterd.admin.bench_pages import RATIO_MIN, bench_pages
from ramsterd.admin.bench_peer import PeerRow
from ramsterd.admin.bench_rows import DEPTH, OPERATIONS, row_of
from ramsterd.admin.latencies import Latencies
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.frontends.pager import Pager
from ramsterd.pagepath.bench_link import BenchLink, NoBench
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.bench_requests import BENCH_IN_FLIGHT_MAX

logger = logging.getLogger("ramster.commands")

PAGES_PER_REQUEST: Final = DEPTH // BENCH_IN_FLIGHT_MAX
BYTES_MIN: Final = 1 << 18
BYTES_DEFAULT: Final = 16 << 20
# Of the budget: the rest is for those whose memory it is.
BUDGET_PER_BENCH: Final = 8
SECONDS_MIN: Final = 0.1
SECONDS_MAX: Final = 60.0
# A command asks for progress more often than that.
POLL_SECONDS_MAX: Final = 5.0
LOCAL: Final = "local"
FAULT: Final = (
    "the benchmark ends by a fault of ramsterd; pages and clients are served on; report these lines"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOrder:
    """What an operator asked for."""

    ratio: float
    # Of each row.
    seconds: float
    bytes: int

    @property
    def pages(self) -> int:
        """Return how many pages there may be, here and at each peer."""
        return self.bytes // PAGE_BYTES


class Bench:
    """See the module's text."""

    def __init__(
        self,
        engine: Engine,
        pager: Pager,
        *,
        rng: random.Random,
        local: str,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Measure nothing yet.

        Args:
            engine: The page path.
            pager: Its front end.
            rng: Draws pages, and which of them are read.
            local: The name of this node.
            clock: Measures.
        """
        self._clock = clock
        self._engine = engine
        self._pager = pager
        self._rng = rng
        self._local = local
        self._order: BenchOrder | None = None
        self._asked = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._polled_at = 0.0
        self._rows: list[dict[str, object]] = []
        self._doing: dict[str, object] | None = None
        self._number = 0

    def commands(self) -> dict[str, Command]:
        """Return the commands by name."""
        return {"bench-begin": self.begin, "bench": self.look, "bench-end": self.end}

    def begin(self, request: dict[str, object]) -> object:
        """Begin with a `ratio`, `seconds` for each row, and `bytes` of pages (null: as many as are good).

        `bench` shows how far it is.

        Raises:
            CommandRefused: One runs, this node is nearly full, or a value is wrong.
        """
        if self._order is not None:
            raise CommandRefused(
                "a benchmark runs: wait until it is over, or end it with Ctrl-C there"
            )
        order = read_order(request, self._engine.store.zbud.budget_bytes)
        self._check_room(order)
        self._order, self._rows, self._doing = order, [], None
        self._number += 1
        self._polled_at = trio.current_time()
        self._asked.set()
        peers = [self._engine.nodes.name(node) for node in self._engine.nodes.nodes()]
        return {
            "number": self._number,
            "node": self._local,
            "peers": peers,
            "bytes": order.bytes,
        }

    def _check_room(self, order: BenchOrder) -> None:
        zbud, memory = self._engine.store.zbud, self._engine.machines.memory
        most = int(zbud.budget_bytes * memory.low_watermark)
        if zbud.resident_bytes + order.bytes > most:
            raise CommandRefused(no_room(most - zbud.resident_bytes, order.bytes))

    def look(self, _: dict[str, object]) -> object:
        """Return the rows so far, and what is being measured; None: all is."""
        self._polled_at = trio.current_time()
        return {
            "number": self._number,
            "is_running": self._order is not None,
            "rows": self._rows,
            "doing": self._doing,
        }

    def end(self, _: dict[str, object]) -> object:
        """End the one that runs, if any."""
        if self._scope is not None:
            self._scope.cancel()
        return {"is_running": self._order is not None}

    async def run(self) -> None:
        """Measure whenever that is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            assert self._order is not None
            logger.info("a benchmark begins, as an operator asked")
            try:
                with trio.CancelScope() as self._scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._watch_for_leaving, nursery.cancel_scope)
                        await self._measure(self._order)
                        nursery.cancel_scope.cancel()
            except Exception:
                # A figure is not worth the pages of this node.
                logger.exception(FAULT)
            finally:
                self._scope = self._order = self._doing = None
            logger.info("the benchmark is over: %d rows", len(self._rows))

    async def _watch_for_leaving(self, scope: trio.CancelScope) -> None:
        while (left := self._polled_at + POLL_SECONDS_MAX - trio.current_time()) > 0:  # noqa: ASYNC110  rarely, and each time later
            await trio.sleep(left)
        scope.cancel()

    async def _measure(self, order: BenchOrder) -> None:
        pages = bench_pages(order.ratio, self._rng)
        try:
            await self._measure_local(order, pages)
        except NoBench as reason:
            self._add_empty(LOCAL, self._local, str(reason))
        for node in self._engine.nodes.nodes():
            name = self._engine.nodes.name(node)
            try:
                await self._measure_peer(node, name, order, pages)
            except NoBench as reason:
                self._add_empty("peer", name, str(reason))

    async def _measure_local(self, order: BenchOrder, pages: list[bytes]) -> None:
        pool = LocalPool(self._pager, pages, pages_max=order.pages, clock=self._clock)
        try:
            for operation in OPERATIONS:
                is_write = operation == "write"
                self._do(self._local, operation, 1)
                one = await pool.run(is_write=is_write, run_pages=1, seconds=order.seconds / 2)
                self._do(self._local, operation, DEPTH)
                many = await pool.run(is_write=is_write, run_pages=DEPTH, seconds=order.seconds / 2)
                self._add(LOCAL, self._local, operation, one, many, order.seconds / 2)
        finally:
            pool.close()

    async def _measure_peer(
        self, node: NodeId, name: str, order: BenchOrder, pages: list[bytes]
    ) -> None:
        async with self._link(node, order) as link:
            for operation in OPERATIONS:
                one = self._peer_row(link, pages, operation)
                self._do(name, operation, 1)
                await one.run(
                    self._pager.settle, requests=1, pages_each=1, seconds=order.seconds / 2
                )
                many = self._peer_row(link, pages, operation)
                self._do(name, operation, DEPTH)
                await many.run(
                    self._pager.settle,
                    requests=BENCH_IN_FLIGHT_MAX,
                    pages_each=PAGES_PER_REQUEST,
                    seconds=order.seconds / 2,
                )
                self._add("peer", name, operation, one, many, order.seconds / 2)

    def _peer_row(self, link: BenchLink, pages: list[bytes], operation: str) -> PeerRow:
        return PeerRow(link, pages, is_write=operation == "write", rng=self._rng, clock=self._clock)

    @asynccontextmanager
    async def _link(self, node: NodeId, order: BenchOrder) -> AsyncIterator[BenchLink]:
        link = BenchLink(self._engine.machines, node, pages_max=order.pages, bytes_max=order.bytes)
        try:
            yield link
        finally:
            link.end()
            self._pager.settle()

    # Rows, as they are shown.

    def _do(self, target: str, operation: str, depth: int) -> None:
        self._doing = {"target": target, "operation": operation, "depth": depth}

    def _add(
        self,
        kind: str,
        target: str,
        operation: str,
        one: LocalRow | PeerRow,
        many: LocalRow | PeerRow,
        seconds: float,
    ) -> None:
        problem = one.problem or many.problem
        self._rows.append(
            row_of(
                kind, target, operation, one.latencies,
                pages_per_second=None if many.problem else many.pages_done / seconds,
                problem=problem,
            )
        )  # fmt: skip

    def _add_empty(self, kind: str, target: str, problem: str) -> None:
        for operation in OPERATIONS:
            row = row_of(
                kind, target, operation, Latencies(), pages_per_second=None, problem=problem
            )
            self._rows.append(row)


def no_room(free_bytes: int, wanted_bytes: int) -> str:
    """Return why this node has no room for a benchmark, and what to type."""
    nearly_full = "this node is nearly full"
    if free_bytes < BYTES_MIN:
        return (
            f"{nearly_full}: less than the {human_bytes(BYTES_MIN)} of the smallest benchmark are free below low_watermark."
            " Repeat it when there is room: `ramsterctl memory show` says what the budget is used for"
        )
    fits = free_bytes // BYTES_MIN * BYTES_MIN
    return (
        f"{nearly_full}: {human_bytes(fits)} are free below low_watermark, and the benchmark wants"
        f" {human_bytes(wanted_bytes)}. Repeat it with --bytes {format_bytes(fits)}, or when there is room"
    )


def read_order(request: dict[str, object], budget_bytes: int) -> BenchOrder:
    """Return what was asked for.

    Raises:
        CommandRefused: A value is wrong.
    """
    most = budget_bytes // BUDGET_PER_BENCH // PAGE_BYTES * PAGE_BYTES
    found = request.get("bytes")
    try:
        wanted = min(BYTES_DEFAULT, most) if found is None else _whole(found)
        count = Size(BYTES_MIN, most, step=PAGE_BYTES).bounded(wanted)
    except Mismatch as mismatch:
        raise CommandRefused(
            f"bytes: found {show(found)}, expected {mismatch} (an eighth of the budget here is {format_bytes(most)})"
        ) from None
    return BenchOrder(
        ratio=_number(request, "ratio", RATIO_MIN, 1.0),
        seconds=_number(request, "seconds", SECONDS_MIN, SECONDS_MAX),
        bytes=count,
    )


def _whole(found: object) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise Mismatch("a whole number of bytes")
    return found


def _number(request: dict[str, object], key: str, least: float, most: float) -> float:
    found = request.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
        raise CommandRefused(f"{key}: found {show(found)}, expected {least:g} to {most:g}")
    return float(found)
