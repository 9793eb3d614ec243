"""What the tables, the arena and a whole daemon take: bytes a page, density, RSS over budget.

    python -m benchmarks.memory [--quick]

Metadata is what the kernel has resident of all mappings but the arena, and by how much the anonymous
memory of the process grew: the Python heap with all that its allocator wastes.  Each case runs in a process of its
own.
"""

import gc
import json
import random
import subprocess
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Options, at_least, at_most
from benchmarks.pages import PAGE_BYTES, real_pages
from benchmarks.processes import MIB, ROOT, Daemon, Node, cluster, rss_bytes, wait_until
from benchmarks.store import OBJECT, RUN_PAGES, new_store
from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.core.codec import encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import put_zpages
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool
from ramsterd.core.store import Store

PAGES, PAGES_QUICK = 1 << 19, 1 << 14
DISTINCT_PAGES = 4096
METADATA_BYTES_MAX = 64
# Mappings with what is known of pages.
TABLES = ("rows", "entries", "nodes", "objects", "slots", "blocks", "redo")
DENSITY_MIN = 0.9
PAGES_PER_PUT = 128
HOLDER = 1


def run(options: Options) -> None:
    """Print the table."""
    count = PAGES_QUICK if options.is_quick else PAGES
    for case in CASES:
        print_case(case, measure_case(case, count))
    budgets = (16,) if options.is_quick else (128, 512)
    for budget_mib in budgets:
        print_rss(budget_mib * MIB)


# Metadata and density, in a process of their own.


def measure_case(case: str, count: int) -> dict[str, Any]:
    """Run a case in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.memory", "--case", case, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def print_case(case: str, measured: dict[str, Any]) -> None:
    """Print the lines of one case."""
    count = measured["pages"]
    kept = {name: measured[name] for name in (*TABLES, "heap")}
    parts = ", ".join(f"{name} {value / count:.1f}" for name, value in kept.items())
    total = sum(kept.values()) / count
    work = f"metadata of a page, {case} ({count:,})"
    harness.print_figure(work, total, "B", at_most(METADATA_BYTES_MAX, " B"))
    print(f"    {parts}")
    if measured["arena"] > MIB:
        density = measured["zpage_bytes"] / measured["arena"]
        harness.print_figure(
            f"density of the arena at rest, {case}", density, "", at_least(DENSITY_MIN, "")
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """The pages that are put again and again; made before memory is measured, and alive until after."""

    pages: list[memoryview]
    runs: list[memoryview]
    encoded: list[tuple[int, bytes, int]]


def make_corpus() -> Corpus:
    """Read them, and mix them: neighbours in a swap area are no neighbours in a file."""
    pages = real_pages(DISTINCT_PAGES)
    random.Random(1).shuffle(pages)
    runs = [
        memoryview(b"".join(pages[start : start + RUN_PAGES]))
        for start in range(0, len(pages), RUN_PAGES)
    ]
    return Corpus([memoryview(page) for page in pages], runs, [encode_page(page) for page in pages])


def local_pages(store: Store, pool: PoolId, corpus: Corpus, count: int) -> None:
    """Put `count` pages as one disk."""
    runs = corpus.runs
    for place in range(count // RUN_PAGES):
        put(store, pool, place * RUN_PAGES, runs[place % len(runs)])


def overwritten_pages(store: Store, pool: PoolId, corpus: Corpus, count: int) -> None:
    """Put them, and then half of them again, at random places, with other bytes."""
    local_pages(store, pool, corpus, count)
    rng = random.Random(2)
    for _ in range(count // 2):
        put(store, pool, rng.randrange(count), rng.choice(corpus.pages))


def remote_pages(store: Store, pool: PoolId, corpus: Corpus, count: int) -> None:
    """Put them, and let each block leave for a holder as the arena fills."""
    runs = corpus.runs
    for place in range(count // RUN_PAGES):
        put(store, pool, place * RUN_PAGES, runs[place % len(runs)])
        if place % len(runs) == len(runs) - 1:
            let_all_leave(store)
    let_all_leave(store)


def foreign_pages(store: Store, _: PoolId, corpus: Corpus, count: int) -> None:
    """Keep them for an owner, whose serials rise by one."""
    pool = store.new_pool(PoolKind.PERSISTENT, owner_pool(2, 1))
    encoded = corpus.encoded
    for first in range(0, count, PAGES_PER_PUT):
        start = first % len(encoded)
        packed, zpages, checksums = zip(*encoded[start : start + PAGES_PER_PUT], strict=True)
        body = memoryview(b"".join(zpages))
        serials = array("Q", range(first + 1, first + 1 + PAGES_PER_PUT))
        columns = serials, array("Q", checksums), array("H", packed)
        assert put_zpages(store, pool, *columns, body) == PAGES_PER_PUT


def put(store: Store, pool: PoolId, index: int, run: memoryview) -> None:
    """Put a run that must find room."""
    assert store.put(pool, OBJECT, index, run) * PAGE_BYTES == len(run)


def let_all_leave(store: Store) -> None:
    """Hand every block to a holder."""
    while (block := store.zbud.oldest(Family.OWN_PERSISTENT)) is not None:
        end_leaving(store.versions, begin_leaving(store.versions, block), HOLDER)


CASES: dict[str, Callable[[Store, PoolId, Corpus, int], None]] = {
    "local": local_pages,
    "local, half put again": overwritten_pages,
    "remote": remote_pages,
    "foreign": foreign_pages,
}


def run_case(case: str, count: int) -> None:
    """Build the tables of a case and print what they take, as JSON."""
    corpus = make_corpus()
    gc.collect()
    heap_before = anonymous_bytes()
    store, pool = new_store(count * PAGE_BYTES, 2 * count)
    CASES[case](store, pool, corpus, count)
    store.zbud.trim()
    gc.collect()
    resident = mapping_bytes()
    print(json.dumps({
        "pages": store.statistics().rows,
        "heap": anonymous_bytes() - heap_before,
        "zpage_bytes": sum(store.versions.zpage_bytes),
        **{name: resident.get(f"ramster-{name}", 0) for name in (*TABLES, "arena")},
    }))  # fmt: skip


def anonymous_bytes() -> int:
    """Return the anonymous resident bytes of this process (smaps_rollup of proc(5))."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Anonymous line")


def mapping_bytes() -> dict[str, int]:
    """Return the resident bytes of this process's memfd mappings by name (smaps of proc(5))."""
    found: dict[str, int] = {}
    name = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == "Rss:" and name is not None:
            found[name] = found.get(name, 0) + int(words[1]) * 1024
        elif "-" in words[0] and not words[0].endswith(":"):
            name = (
                words[5].removeprefix("/memfd:") if len(words) > 5 and "/memfd:" in line else None
            )
    return found


# A whole daemon.


def print_rss(budget_bytes: int) -> None:
    """Fill a daemon until it refuses, then empty it."""
    export_bytes = 8 * budget_bytes
    with harness.temp_dir() as folder:
        node = Node(1, budget_bytes=budget_bytes, export_bytes=export_bytes)
        with cluster(folder, [node]) as (daemon,):
            empty = rss_bytes(daemon.pid)
            fill_until_refused(daemon)
            store = daemon.status()["engine"]["store"]
            full = rss_bytes(daemon.pid)
            with NbdClient.connect(daemon.nbd_socket, "disk") as client:
                for start in range(0, export_bytes, 64 * MIB):
                    client.trim(start, min(64 * MIB, export_bytes - start))
            wait_until(lambda: not zbud_of(daemon)["resident_bytes"], "the arena is empty")
            trimmed = rss_bytes(daemon.pid)
    name = f"budget {budget_bytes // MIB} MiB"
    over = (full - budget_bytes) / MIB
    bar = at_most(64 + 0.03 * budget_bytes / MIB, " MiB")
    harness.print_figure(
        f"{name}, full ({store['rows']:,} pages): RSS over budget", over, "MiB", bar
    )
    resident = store["zbud"]["resident_bytes"] / budget_bytes
    print(
        f"    RSS {empty / MIB:.0f} MiB when empty, {full / MIB:.0f} full (arena {resident:.1%} of the budget),"
        f" {trimmed / MIB:.0f} after TRIM of all"
    )


def zbud_of(daemon: Daemon) -> dict[str, Any]:
    """Ask for the arena's statistics."""
    result: dict[str, Any] = daemon.status()["engine"]["store"]["zbud"]
    return result


def fill_until_refused(daemon: Daemon) -> None:
    """Write real pages until there is no room."""
    pages = real_pages(DISTINCT_PAGES)
    piece = b"".join(pages)
    with NbdClient.connect(daemon.nbd_socket, "disk") as client:
        try:
            for start in range(0, client.size - len(piece), len(piece)):
                client.write_stream(start, [piece])
        except RequestFailed:
            return
    raise RuntimeError("the daemon took everything: it is not full")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        run_case(sys.argv[2], int(sys.argv[3]))
    else:
        harness.run_main({"memory": run}, __doc__)
