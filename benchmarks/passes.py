"""The longest pass of each kind of work on large tables, and what memory is left after all pages are gone.

    python -m benchmarks.passes [--pages 1000000] [--quick]

Two engines in one process (benchmarks/engines.py).  The collector runs as it does in the daemon.  Pages are small, so that
many fit; the bar holds for any.
"""

import argparse
import gc
from array import array
from collections.abc import Iterator

from benchmarks import harness
from benchmarks.engines import (
    HOLDER,
    INCARNATION,
    MIB,
    OBJECT,
    OWNER,
    Engines,
    discard,
    fill,
    send_all,
    small_pages,
)
from benchmarks.harness import Options, at_most
from benchmarks.memory import TABLES, anonymous_bytes, mapping_bytes
from ramsterd.core import extents
from ramsterd.core.codec import encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import FOREIGN_OBJECT, put_zpages
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, owner_pool, program_pool
from ramsterd.host.collector import calm_collector
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.hold.foreign_flushes import ForeignFlushes
from ramsterd.remote.wire import SERIAL_MAX

PAGES, PAGES_QUICK = 1_000_000, 20_000
PASS_MILLISECONDS_MAX = 20.0
TIB_PAGES = 1 << 28


# Each kind of work: what it does, on tables with so many pages.


def remotify(pair: Engines, pool: PoolId, pages: int) -> Iterator[str]:
    """Pages leave, the link is lost, all are discarded, and the link comes back."""
    fill(pair, pool, pages)
    yield "put, and keep house"
    send_all(pair)
    yield "remotify all"
    pair.cut()
    yield "lose the link"
    discard(pair, pool, pages)
    yield "discard all without a link"
    owed = pair.nodes[OWNER].engine.statistics().flushes_owed
    pair.link()
    pair.run(1e-5 * owed + 1.0)
    yield "flush what is owed, with the link again"


def hostile_flush(pair: Engines, _: PoolId, pages: int) -> Iterator[str]:
    """A member has sparse serials, and names them all in one range."""
    holder = pair.nodes[HOLDER]
    packed, zpage, checksum = encode_page(bytes(small_pages(1)))
    pools = {k: holder.engine.store.new_pool(k, owner_pool(2, 1)) for k in PoolKind}
    count = pages // 2
    for first in range(0, count, 128):
        serials = array("Q", [64 * (first + each) + 1 for each in range(128)])
        put_zpages(
            holder.engine.store, pools[PoolKind.PERSISTENT], serials, array("Q", [checksum] * 128),
            array("H", [packed] * 128), memoryview(zpage * 128),
        )  # fmt: skip
    holder.longest = 0.0
    flushes = ForeignFlushes(
        holder.engine.store, pools.values(), run=holder.engine.machines.slices.add
    )
    pair.pass_of(holder, lambda _: flushes.add(array("Q", [1]), array("Q", [SERIAL_MAX])))
    while holder.engine.store.pages_of(pools[PoolKind.PERSISTENT]):
        pair.run(0.1)
    yield "one range over all, half as many sparse serials"
    assert holder.engine.store.pools[pools[PoolKind.PERSISTENT]].find_object(FOREIGN_OBJECT) is None


def replicate(pair: Engines, pool: PoolId, pages: int) -> Iterator[str]:
    """A disk is replicated beside another that is not."""
    owner = pair.nodes[OWNER]
    pair.cut()
    fill(pair, pool, pages)
    replicated = owner.engine.new_pool(
        PoolKind.PERSISTENT, program_pool("safe"), copies=1, is_replicated=True
    )
    pair.link()
    # No PUT overtakes the flushes that are owed since the link was cut.
    pair.run(1e-5 * pages + 1.0)
    pair.longest()
    page = small_pages(1)
    for index in range(50):
        pair.pass_of(owner, lambda e, i=index: e.store.put(replicated, OBJECT, i, page))  # type: ignore[misc]  # bound at once
        pair.pass_of(owner, lambda e: e.replicate(replicated, OBJECT, 0, 1 << 24, now=pair.now))
        pair.run(0.01)
    assert owner.replicated >= 49, f"{owner.replicated} of 50"
    yield "fsync of a replicated disk beside one that is not"


def audit(pair: Engines, pool: PoolId, pages: int) -> Iterator[str]:
    """All tables and all zpages are checked."""
    owner = pair.nodes[OWNER]
    pair.pass_of(owner, lambda e: e.begin_audit())
    pair.pass_of(owner, lambda e: e.begin_scrub(now=pair.now))
    while owner.engine.statistics().audit.is_running or owner.engine.statistics().scrub.is_running:
        pair.run(0.5)
    assert owner.engine.statistics().audit.problem == ""
    yield "verify --invariants"
    pair.pass_of(owner, lambda e: e.begin_last_copies_count(HOLDER, now=pair.now))
    pair.run(1e-5 * pages + 1.0)
    yield "count of last copies"
    pair.pass_of(owner, lambda e: e.statistics())
    yield "status"
    del pool


def incarnations_end(pair: Engines, pool: PoolId, pages: int) -> Iterator[str]:
    """A holder ends, and an owner."""
    fill(pair, pool, pages)
    send_all(pair)
    pair.longest()
    for number, node in pair.nodes.items():
        peer = HOLDER if number == OWNER else OWNER
        pair.pass_of(node, lambda e, p=peer: e.on_link_lost(p, INCARNATION, now=pair.now))  # type: ignore[misc]  # bound at once
        pair.pass_of(node, lambda e, p=peer: e.on_member_removed(p))  # type: ignore[misc]  # bound at once
    pair.is_linked = False
    pair.run(1e-5 * pages + 1.0)
    assert not pair.nodes[HOLDER].engine.store.versions.zpages[Family.FOREIGN_PERSISTENT]
    yield "a holder is gone (sweep), an owner is gone (purge)"


def zeros(pair: Engines, pool: PoolId, _: int) -> Iterator[str]:
    """A terabyte of zeros, written without holes and discarded."""
    owner, position = pair.nodes[OWNER], 0

    def zero(engine: Engine) -> None:
        nonlocal position
        left = TIB_PAGES - position
        position += extents.put_zeros(engine.store, pool, OBJECT, position, left, steps_max=16)

    while position < TIB_PAGES:
        pair.pass_of(owner, zero)
    yield "zeros of 1 TiB without holes"
    discard(pair, pool, TIB_PAGES)
    yield "discard 1 TiB of zeros"


def run_pages(pages: int) -> None:
    """Print the longest passes, and the memory afterwards."""
    gc.collect()
    calm_collector()
    pair = Engines(pages)
    disk = pair.nodes[OWNER].engine.new_pool(PoolKind.PERSISTENT, export_pool("disk"), copies=1)
    pair.link()
    pair.run(1.0)
    pair.longest()
    before = memory()
    print(f"  {pages:,} pages; owner and holder, milliseconds of processor time")
    for work in (zeros, remotify, hostile_flush, replicate, audit):
        for name in work(pair, disk, pages):
            print_longest(name, pair)
        pair.nodes[OWNER].engine.check_invariants()
    for name in incarnations_end(pair, disk, pages):
        print_longest(name, pair)
    discard(pair, disk, 1 << 24)
    for node in pair.nodes.values():
        node.engine.store.zbud.trim()
    gc.collect()
    assert not pair.nodes[OWNER].engine.store.pages_of(disk)
    grown = {name: value - before.get(name, 0) for name, value in memory().items()}
    kept = ", ".join(f"{name} {value / MIB:.1f}" for name, value in grown.items())
    print(f"  memory of both with 0 pages, beyond that at the start, MiB: {kept}")


def print_longest(name: str, pair: Engines) -> None:
    """Print the longest pass of each side since the last line."""
    for number, milliseconds in pair.longest().items():
        side = "owner" if number == OWNER else "holder"
        bar = at_most(PASS_MILLISECONDS_MAX, " ms")
        if milliseconds > 0.05:
            harness.print_figure(f"{name}, {side}", milliseconds, "ms", bar)


def memory() -> dict[str, int]:
    """Return what this process has resident: the heap, and each mapping."""
    kept = mapping_bytes()
    return {"heap": anonymous_bytes()} | {
        name: kept.get(f"ramster-{name}", 0) for name in (*TABLES, "arena")
    }


def run(options: Options) -> None:
    """Print the table."""
    run_pages(PAGES_QUICK if options.is_quick else PAGES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=PAGES)
    run_pages(parser.parse_args().pages)
