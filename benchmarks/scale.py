"""What each kind of work costs by the number of pages: time a page, and the longest pass of the event loop.

    python -m benchmarks.scale [--sizes 100000 400000 1600000 4000000] [--out FILE]

One owner and four holders (benchmarks/engines.py), two copies of each page that leaves.  Time is processor time of all
nodes together; a cost that grows by no more than the logarithm has nearly the same time a page at each size.  With --out
the figures are kept for `benchmarks.scale_plot`.  Each size runs in a process of its own; the largest needs 8 GiB.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import harness
from benchmarks.engines import (
    MIB,
    OBJECT,
    OWNER,
    RUN_PAGES,
    Engines,
    discard,
    fill,
    small_pages,
)
from benchmarks.harness import Options, at_most
from benchmarks.memory import TABLES, anonymous_bytes, mapping_bytes
from benchmarks.passes import PASS_MILLISECONDS_MAX
from benchmarks.processes import ROOT
from nodemanager.ids import NodeId
from ramsterd.core.arena import MemfdMapping
from ramsterd.core.family import Family
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.host.collector import calm_collector
from ramsterd.pagepath.engine import Engine
from tests.helpers.kept_image import KeptImage

SIZES, SIZES_QUICK = (100_000, 400_000, 1_600_000, 4_000_000), (5_000, 10_000)
NODES = 5
DISKS = 3
DRAINED, ENDED = NodeId(1), NodeId(2)
REMOTE = {
    "copies": 2,
    "foreign_bytes_per_second": 0,
    "rebuild_pages_per_second": 1_000_000,
}
# Of the budget, for each page, once most have left.
LEFT_BYTES = 8
# Of a page, between the smallest and the largest size.
GROWTH_MAX = 2.0
# Work that takes so long has not ended.
VIRTUAL_SECONDS_MAX = 10_000.0


Pools: TypeAlias = Sequence[PoolId]


def wait(engines: Engines, is_over: Callable[[], bool], what: str) -> None:
    """Let time pass until something is over."""
    until = engines.now + VIRTUAL_SECONDS_MAX
    while not is_over():
        engines.run(0.5)
        assert engines.now < until, f"{what} does not end"


def owner(engines: Engines) -> Engine:
    return engines.nodes[OWNER].engine


def holder_pages(engines: Engines, node: NodeId) -> int:
    return engines.nodes[node].engine.pages_here(OWNER)


# Each part yields its name, and how many pages it was about.


def works(engines: Engines, pools: Pools, pages: int) -> Iterator[tuple[str, int]]:
    """Do all of it, one after another: pages come, are checked, leave, move, and go."""
    for pool in pools:
        fill(engines, pool, pages // len(pools))
    yield "fill", pages
    yield from verify(engines, pages)
    send_most(engines, pages)
    yield "remotify, two copies", pages
    moved = holder_pages(engines, DRAINED)
    set_draining(engines, DRAINED)
    wait(engines, lambda: not holder_pages(engines, DRAINED), "the drain")
    yield "drain", moved
    lost = holder_pages(engines, ENDED)
    engines.end(ENDED)
    wait(engines, lambda: not dead_pages(owner(engines)), "the sweep")
    yield "remove", pages
    wait(engines, lambda: not owner(engines).statistics().rebuild.pages_at_risk, "rebuild")
    yield "rebuild", lost
    yield from endings(engines, pools, pages // len(pools))


def send_most(engines: Engines, pages: int) -> None:
    """The budget gets smaller, for good: about one page in twenty stays, and none comes home later."""
    engine = owner(engines)
    engines.pass_of(
        engines.nodes[OWNER],
        lambda e: e.set_budget(max(MIB // 2, LEFT_BYTES * pages), now=engines.now),
    )
    before = -1
    while before != engine.store.versions.zpages[Family.OWN_PERSISTENT]:
        before = engine.store.versions.zpages[Family.OWN_PERSISTENT]
        engines.run(1.0)


def verify(engines: Engines, pages: int) -> Iterator[tuple[str, int]]:
    """Check all zpages and all tables."""
    engines.pass_of(engines.nodes[OWNER], lambda e: e.begin_audit())
    engines.pass_of(engines.nodes[OWNER], lambda e: e.begin_scrub(now=engines.now))
    wait(engines, lambda: not is_verifying(owner(engines)), "verify")
    assert owner(engines).statistics().audit.problem == ""
    yield "verify", pages


def endings(engines: Engines, pools: Pools, pages: int) -> Iterator[tuple[str, int]]:
    """Pages go: those of one disk by TRIM, those of the next with it, those of the last with their owner."""
    trimmed, destroyed, _ = pools
    discard(engines, trimmed, pages)
    wait_dropped(engines)
    yield "discard", pages
    engines.pass_of(engines.nodes[OWNER], lambda e: e.end_pool(destroyed))
    engines.pass_of(engines.nodes[OWNER], lambda e: e.drop_pool(destroyed))
    wait(engines, lambda: not has_pool(owner(engines), destroyed), "dropping a disk")
    wait_dropped(engines)
    yield "destroy", pages
    left = sum(holder_pages(engines, each) for each in engines.others(OWNER))
    engines.end(OWNER)
    wait(
        engines,
        lambda: not any(any(each.engine.store.versions.zpages) for each in engines.nodes.values()),
        "the purge",
    )
    yield "purge", left


def wait_dropped(engines: Engines) -> None:
    """Let time pass until holders have dropped what the owner discarded: they do so in slices."""
    wait(engines, lambda: not owner(engines).statistics().flushes_owed, "the flushes")
    before = -1
    while before != (left := sum(holder_pages(engines, each) for each in engines.nodes)):
        before = left
        engines.run(1.0)


def has_pool(engine: Engine, pool: PoolId) -> bool:
    return any(each.pool == pool for each in engine.store.pools)


def dead_pages(engine: Engine) -> int:
    return sum(each.pages for each in engine.statistics().remote if each.is_dead)


def is_verifying(engine: Engine) -> bool:
    now = engine.statistics()
    return now.audit.is_running or now.scrub.is_running


def set_draining(engines: Engines, node: NodeId) -> None:
    """All learn that a node drains."""
    cluster = engines.cluster
    members = tuple(replace(each, draining=each.number == node) for each in cluster.node)
    for each in engines.nodes.values():
        engines.pass_of(
            each, lambda e: e.on_members(replace(cluster, node=members), now=engines.now)
        )


def measure(pages: int) -> dict[str, Any]:
    """Run all works on so many pages."""
    gc.collect()
    calm_collector()
    before = memory_bytes()
    engines = Engines(pages, nodes=NODES, **REMOTE)
    disks = [
        owner(engines).new_pool(PoolKind.PERSISTENT, export_pool(f"disk{n}")) for n in range(DISKS)
    ]
    engines.link()
    engines.run(1.0)
    engines.longest(), engines.seconds()
    found: dict[str, Any] = {"pages": pages, "works": {}}
    for name, count in works(engines, disks, pages):
        found["works"][name] = {
            "microseconds": 1e6 * engines.seconds() / max(1, count),
            "milliseconds": max(engines.longest().values()),
            "pages": count,
        }
        if name == "fill":
            found["bytes"] = (memory_bytes() - before) / pages
    del engines
    gc.collect()
    found["works"]["attach"] = measure_attach(pages)
    return found


def measure_attach(pages: int) -> dict[str, float]:
    """Judge what a start finds of so many pages, all of them here; no pass of the loop."""
    budget = max(64 * MIB, 128 * pages)
    limits = StoreLimits(budget_bytes=budget, budget_bytes_max=budget, pages_max=2 * pages)
    store = Store(MemfdMapping, limits)
    pool = store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
    run = small_pages(RUN_PAGES)
    for index in range(0, pages, RUN_PAGES):
        store.put(pool, OBJECT, index, run)
    image = KeptImage(store, holders=set())
    began = time.process_time()
    assert not image.judge().faults
    return {"microseconds": 1e6 * (time.process_time() - began) / pages, "pages": pages}


def memory_bytes() -> int:
    """Return what this process has resident: the heap, and each mapping."""
    kept = mapping_bytes()
    return anonymous_bytes() + sum(kept.get(f"ramster-{name}", 0) for name in (*TABLES, "arena"))


def measure_apart(pages: int) -> dict[str, Any]:
    """Run in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", str(pages)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def growth_of(rows: Sequence[dict[str, float]]) -> str:
    """Return how the cost of a page grows from the smallest size to the largest, in words."""
    first = rows[0]["microseconds"]
    if not first:
        return "no growth to tell: with so few pages it is over before it begins"
    growth = rows[-1]["microseconds"] / first
    return f"growth {growth:.2f}x  {harness.verdict(growth, at_most(GROWTH_MAX))}"


def run_sizes(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Print a row for each kind of work: what a page costs at each size, how that grows, and the longest pass."""
    found = [measure_apart(pages) for pages in sizes]
    titles = "  ".join(f"{each['pages']:>10,}" for each in found)
    print(f"  {'microseconds of a page, at pages':34}  {titles}")
    for name in found[0]["works"]:
        rows = [each["works"][name] for each in found]
        cells = "  ".join(f"{row['microseconds']:>10.2f}" for row in rows)
        print(f"  {name:34}  {cells}  {growth_of(rows)}")
        if "milliseconds" in rows[0]:
            longest = max(row["milliseconds"] for row in rows)
            harness.print_figure(
                f"  longest pass, {name}", longest, "ms", at_most(PASS_MILLISECONDS_MAX, " ms")
            )
    cells = "  ".join(f"{each['bytes']:>10.1f}" for each in found)
    print(f"  {'bytes of a page, all':34}  {cells}")
    return found


def run(options: Options) -> None:
    """Print the table."""
    run_sizes(SIZES_QUICK if options.is_quick else SIZES)


def main() -> None:
    """Print the table, or what one size costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    found = run_sizes(given.sizes)
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
