"""Clients that know what they put, and judge each answer by it.

The model keeps, for each index, which values a get may see now: the last put that was answered, and any that
are still waiting.  A get is judged by all that was possible at some time while it ran.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from trio.testing import MockClock

from ramsterd.core.foreign_pages import FOREIGN_OBJECT
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.frontends.pager import GetOutcome, GetResult, PutOutcome
from tests.fakes.dropping import drop_run
from tests.simulation.checkers import check_books, check_step, held, remote_only, rows_of
from tests.simulation.cluster import Cluster, Node
from tests.simulation.pages import (
    CACHE,
    OBJECT,
    RAW_VERSIONS,
    SPILL,
    VERSIONS_PER_INCARNATION,
    make_page,
)
from tests.simulation.world import World

# A value is a version; these two are none.
HOLE: Final = 0
LOST: Final = -1
# Longer than every timer that ends something: owed flushes, STATUS, refusals, time-outs.
REST_SECONDS: Final = 8.0
Values: TypeAlias = set[int]


@dataclass(slots=True, eq=False)
class RunningGet:
    """A get that waits, and what it may see of each page."""

    index: int
    possible: list[Values]
    result: GetResult | None = None


@dataclass(slots=True, eq=False)
class RunningPut:
    """A put that waits."""

    index: int
    versions: list[int]
    # The order in which puts and flushes came.
    number: int
    outcome: PutOutcome | None = None

    @property
    def is_waiting(self) -> bool:
        return self.outcome is None

    @property
    def is_stored(self) -> bool:
        return self.outcome is PutOutcome.STORED

    @property
    def is_refused(self) -> bool:
        return self.outcome is PutOutcome.REFUSED


@dataclass(slots=True)
class Client:
    """The one user of a node's export, for one incarnation of the node."""

    cluster: Cluster
    number: int
    expects_unreachable: bool = False
    kind: PoolKind = PoolKind.PERSISTENT
    # A pool of a program instead of a disk: what was refused hides what was there.
    hides_refused: bool = False
    node: Node = field(init=False)
    possible: dict[int, Values] = field(default_factory=dict)
    # Pages that may be gone: their only holder died, or what it keeps was damaged.
    losable: set[int] = field(default_factory=set)
    gets: list[RunningGet] = field(default_factory=list)
    puts: list[RunningPut] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    last_version: int = 0
    # Of each page, the last put or flush that is known to have taken effect.
    newest: dict[int, int] = field(default_factory=dict)
    _last_number: int = 0

    def __post_init__(self) -> None:
        self.node = self.cluster[self.number]
        self.last_version = (self.node.incarnation - 1) * VERSIONS_PER_INCARNATION

    @property
    def is_cache(self) -> bool:
        return self.kind is PoolKind.EPHEMERAL

    @property
    def pool(self) -> PoolId:
        if self.is_cache:
            return self.node.cache
        return self.node.spill if self.hides_refused else self.node.pool

    @property
    def indexes(self) -> list[int]:
        """All pages that were ever put and not flushed."""
        return [index for index, values in self.possible.items() if values != {HOLE}]

    def values(self, index: int) -> Values:
        """Return what a get may see now."""
        values = set(self.possible.get(index, {HOLE}))
        for put in self.puts:
            if put.index <= index < put.index + len(put.versions):
                values.add(put.versions[index - put.index])
        if index in self.losable:
            values.add(LOST)
        if self.is_cache:
            values.add(HOLE)
        return values

    def _page(self, index: int, version: int) -> bytes:
        owner = self.number + CACHE * self.is_cache + SPILL * self.hides_refused
        return make_page(owner, index, version)

    def _note(self, what: str, index: int, count: int) -> None:
        disk = "cache" if self.is_cache else "disk"
        self.cluster.note(self.number, what, f"{disk}:{index}+{count}")

    # Operations.

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def put(self, index: int, count: int = 1, *, is_raw: bool = False) -> RunningPut:
        """Put new versions of a run."""
        self._note("put", index, count)
        first = self.last_version + 1 + (RAW_VERSIONS if is_raw else 0)
        versions = [first + each for each in range(count)]
        self.last_version += count
        pages = b"".join(self._page(index + each, version) for each, version in enumerate(versions))
        put = RunningPut(index, versions, self._next_number())
        self.puts.append(put)
        self._widen(index, count)
        with self.cluster.inside(self.number):
            if self.is_cache:
                stored = self.node.client.put_now(self.pool, OBJECT, index, memoryview(pages))
                self._on_put(put, PutOutcome.STORED if stored == count else PutOutcome.REFUSED)
            else:
                outcome = self.node.client.put(
                    self.pool, OBJECT, index, memoryview(pages), lambda it: self._on_put(put, it)
                )
                if outcome is not None:
                    self._on_put(put, outcome)
            self.node.pager.settle()
        return put

    def _on_put(self, put: RunningPut, outcome: PutOutcome) -> None:
        assert put.outcome is None, "answered twice"
        put.outcome = outcome
        self.seen[outcome.name] += 1
        self._note(f"put {outcome.name}", put.index, len(put.versions))
        for index, version in enumerate(put.versions, put.index):
            if self.newest.get(index, 0) > put.number:
                continue  # what came later has taken effect: this one counts as done before
            if outcome is PutOutcome.STORED:
                self.newest[index] = put.number
            before = self.possible.get(index, {HOLE})
            if outcome is PutOutcome.STORED:
                self.possible[index] = {version}
                self.losable.discard(index)
            elif self.is_cache or self.hides_refused:
                # The old version must not be seen; the first pages of the run may have been stored.
                self.possible[index] = {version, LOST} | (before & {HOLE})
                self.losable.discard(index)
            else:
                self.possible[index] = before | {version}
        self.puts.remove(put)
        self._widen(put.index, len(put.versions))

    def flush(self, index: int, count: int = 1) -> None:
        self._note("flush", index, count)
        number = self._next_number()
        with self.cluster.inside(self.number):
            drop_run(self.node.client, self.pool, OBJECT, index, count)
            for each in range(index, index + count):
                self.possible[each] = {HOLE}
                self.newest[each] = number
                self.losable.discard(each)
            self._widen(index, count)
            self.node.pager.settle()

    def flush_unless_put(self, index: int, count: int) -> None:
        """Flush a run; nothing when a put of some of it still waits: which comes first would be open."""
        if not any(
            put.index < index + count and index < put.index + len(put.versions) for put in self.puts
        ):
            self.flush(index, count)

    def get(self, index: int, count: int = 1) -> RunningGet:
        """Get a run; what comes is judged when it comes."""
        self._note("get", index, count)
        get = RunningGet(index, [self.values(each) for each in range(index, index + count)])
        self.gets.append(get)
        with self.cluster.inside(self.number):
            result = self.node.client.get(
                self.pool, OBJECT, index, count, lambda it: self._on_get(get, it)
            )
            if result is not None:
                self._on_get(get, result)
            self.node.pager.settle()
        return get

    def _on_get(self, get: RunningGet, result: GetResult) -> None:
        assert get.result is None, "answered twice"
        get.result = result
        self.gets.remove(get)
        told = result.name if isinstance(result, GetOutcome) else "done"
        self._note(f"get {told}", get.index, len(get.possible))
        if isinstance(result, GetOutcome):
            assert not self.is_cache, "an ephemeral page is there or not"
            self.seen[result.name] += 1
            if result is GetOutcome.LOST:
                assert any(LOST in each for each in get.possible), (
                    f"{get.index}: no reason to be lost"
                )
            else:
                assert self.expects_unreachable or any(LOST in each for each in get.possible), (
                    f"{get.index}: everybody can be reached"
                )
            return
        self.seen["served"] += 1
        self.seen["hits"] += len(result) - result.count(None)
        self.seen["misses"] += result.count(None)
        for index, (values, page) in enumerate(zip(get.possible, result, strict=True), get.index):
            assert self._fits(index, page, values), f"page {index} is none of {values}"

    def _fits(self, index: int, page: bytes | None, values: Values) -> bool:
        if page is None:
            return HOLE in values
        return any(version > 0 and page == self._page(index, version) for version in values)

    def _widen(self, index: int, count: int) -> None:
        """Gets that run now may see what is possible now."""
        for get in self.gets:
            for each in range(
                max(index, get.index), min(index + count, get.index + len(get.possible))
            ):
                get.possible[each - get.index] |= self.values(each)

    # What the client must know of faults.

    def on_holder_lost(self, holder: int) -> set[int]:
        """Call just before a holder dies: what only it has may be lost."""
        world = World(self.cluster)
        gone = world.only_at(self, holder)
        self.expect_loss(gone)
        return gone

    def expect_loss(self, indexes: set[int]) -> None:
        """Some pages may be lost from now on, until they are put or flushed."""
        self.losable |= indexes
        for get in self.gets:
            for index in indexes & set(range(get.index, get.index + len(get.possible))):
                self._widen(index, 1)

    def go_on(self) -> None:
        """The process of the node was followed by another with its memory: what was not answered is open for ever."""
        self.node = self.cluster[self.number]
        for put in self.puts:
            for index, version in enumerate(put.versions, put.index):
                self.possible[index] = self.possible.get(index, {HOLE}) | {version}
        self.puts.clear()
        self.gets.clear()

    # Larger steps.

    def fill(self, pages: int, *, start: int = 0, run: int = 16) -> None:
        """Put pages one run after another, letting the cluster work between them."""
        for index in range(start, start + pages, run):
            outcome = self.wait_put(self.put(index, min(run, start + pages - index)))
            assert outcome is PutOutcome.STORED
            if self.is_cache:  # nothing waits for the peers by itself
                self.cluster.run(0.01)

    def read_all(self, run: int = 16) -> None:
        """Get every page there should be, and wait for it; what may be lost is read page by page."""
        for start in sorted({index // run * run for index in self.possible}):
            indexes = range(start, start + run)
            may_be_lost = any(LOST in self.values(index) for index in indexes)
            for get in [(index, 1) for index in indexes] if may_be_lost else [(start, run)]:
                self.wait(self.get(*get))

    def wait(self, get: RunningGet) -> GetResult:
        """Let the cluster work until a get is answered."""
        self.cluster.run_until(lambda: get.result is not None)
        assert get.result is not None, "never answered"
        return get.result

    def wait_put(self, put: RunningPut) -> PutOutcome:
        """Let the cluster work until a put is answered."""
        self.cluster.run_until(lambda: put.outcome is not None)
        assert put.outcome is not None, "never answered"
        return put.outcome

    def fill_beyond_memory(self, *, start: int, run: int = 16) -> int:
        """Put pages until some of them are on their way to a peer; return the next free index."""
        index = start
        while not self.in_flight():
            put = self.put(index, run)
            assert put.outcome is PutOutcome.STORED
            index += run
        return index

    def put_until_one_waits(self, run: int = 8) -> RunningPut:
        """Put pages until one finds no room; return that put."""
        index = 0
        while (put := self.put(index, run)).is_stored:
            index += run
        assert put.outcome is None
        return put

    def in_flight(self) -> list[int]:
        """Return the indexes whose present version is on its way to a peer, the oldest first."""
        store = self.node.engine.store
        found = []
        for put in self.node.engine.machines.remotifier.persistent.puts.waited:
            for leaving in put.shipment.blocks:
                for row, serial in zip(leaving.rows, leaving.serials, strict=True):
                    if store.rows.serial(row) == serial:
                        address = store.rows.address(row)
                        found.append(store.table.handle(address)[1])
        return found

    def remote(self, holder: int) -> list[int]:
        """Return the indexes that only a peer has, lowest first."""
        return sorted(remote_only(self.cluster, self.node, self.cluster[holder], self.pool))

    def kept(self, holder: int) -> list[int]:
        """Return those of `remote` that the holder does have: it may drop ephemeral ones."""
        serials, indexes = held(self.node, self.cluster[holder]), self.remote(holder)
        rows = self.node.engine.store.rows
        return [
            index
            for index, row in zip(indexes, self.rows(indexes), strict=True)
            if rows.serial(row) in serials
        ]

    def rows(self, indexes: Sequence[int]) -> list[int]:
        """Return the rows of some pages."""
        rows = rows_of(self.node.engine.store, self.pool)
        return [rows[OBJECT, index] for index in indexes]

    def foreign_rows(self, holder: int, indexes: Sequence[int]) -> list[int]:
        """Return the rows that a holder has for some of our pages."""
        theirs = self.cluster[holder].engine
        pool = theirs.machines.foreign._owners[self.node.number].pools[self.kind]
        rows = rows_of(theirs.store, pool)
        serials = [self.node.engine.store.rows.serial(row) for row in self.rows(indexes)]
        return [rows[FOREIGN_OBJECT, serial] for serial in serials]


def stage(
    seed: int,
    clock: MockClock,
    nodes: int = 2,
    *,
    knobs: dict[int, dict[str, float]] | None = None,
    **knobs_of_all: float,
) -> tuple[Cluster, Client]:
    """Return a cluster whose nodes are all linked and know of each other's room, and node 0's client."""
    cluster = Cluster(seed, clock, nodes=nodes, has_detector=False, knobs=knobs, **knobs_of_all)
    cluster.checks.append(lambda: check_step(cluster))
    cluster.link_all()
    cluster.run(0.01)
    return cluster, Client(cluster, 0)


def finish(cluster: Cluster, *clients: Client) -> None:
    """Let all come to rest; then everything can be read, and the books balance."""
    cluster.run(REST_SECONDS)
    for client in clients:
        client.read_all()
    cluster.run(REST_SECONDS)
    check_books(cluster)
