"""Nodes with kept memory that are killed and started again: the gap of clients, the attach, and what crosses the links.

    python -m benchmarks.restart [--rounds 5] [--only gap|holder] [--quick]

gap: one daemon with a million pages is killed with SIGKILL and started again at once.  The gap is the time from the kill
to the first page that was read right, by a client that connects again at once; beside it what the daemon had used of a
processor by then, which is what the gap would be on a machine with nothing else to do.  The attach is all that a start
with pages takes more of a processor than one without: mappings, trees, rows and tables.  Beside it what `ramsterctl
status` says of it (`memory.attach_seconds`), in seconds of the clock.

holder: a node keeps pages of another, as the second of two copies, and is started again: in order and by SIGKILL with its
memory kept, and by SIGKILL without.  Bytes over the links of the owner are counted from before the end of the holder
until no page is at risk and nothing is on its way.  The owner's client does nothing all that while.
"""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Options, Samples, at_least, at_most
from benchmarks.processes import MIB, processor_seconds
from ramsterd.client.nbd import NbdClient, NbdError
from tests.system.arena import PAGE, marked_page
from tests.system.daemons import Cluster, Node, wait_until

SHM = Path("/dev/shm")  # noqa: S108  a tmpfs, and a folder of our own in it
PAGES, PAGES_QUICK = 1 << 20, 1 << 14
# Of a page that shrinks to about this: a million of them are no more than the daemon's tables.
MARK_BYTES = 64
RUN_PAGES = 256
GAP_SECONDS_MAX = 2.0
CONNECT_PAUSE_SECONDS = 0.002
SETTLE_SECONDS_MAX = 120.0
HOLDER_EXPORT, HOLDER_EXPORT_QUICK = 64 * MIB, 16 * MIB


@contextmanager
def cluster_of(budgets: list[str], *, export_bytes: int, kept: set[int]) -> Iterator[Cluster]:
    """Run daemons, of which some keep their memory in a folder on a tmpfs."""
    if not os.access(SHM, os.W_OK):
        raise harness.Skipped(f"needs a tmpfs at {SHM} that we may write to")
    with (
        harness.temp_dir() as folder,
        tempfile.TemporaryDirectory(prefix="ramster-bench-", dir=SHM) as memories,
    ):
        (folder / "s").mkdir()
        cluster = Cluster(
            folder,
            folder / "s",
            budgets=budgets,
            export=str(export_bytes),
            copies=min(2, len(budgets) - 1) or 1,
        )
        cluster.measure_processes()
        for node in cluster:
            keep = f'"{memories}/{node.name}"' if node.number in kept else '"no"'
            text = node.config.read_text()
            node.config.write_text(text.replace("[memory]\n", f"[memory]\nkeep = {keep}\n"))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


# The gap of clients.


def run_gap(options: Options) -> None:
    """Print the gap and the attach at a million pages."""
    pages = PAGES_QUICK if options.is_quick else PAGES
    with cluster_of(["1GiB"], export_bytes=pages * PAGE, kept={1}) as cluster:
        node = cluster[1]
        # What a start takes without pages.
        bare = Samples(tuple(kill_and_read(node, 0, 0)[1] for _ in range(2)))
        with node.client() as client:
            client.write_stream(0, (run_of(first) for first in range(0, pages, RUN_PAGES)))
        rounds = [kill_and_read(node, round_, pages) for round_ in range(options.rounds)]
    gaps, used, attaches = (Samples(each) for each in zip(*rounds, strict=True))
    print(f"  {pages:,} pages, {options.rounds} kills; worst gap {max(gaps.values):.2f} s")
    harness.print_figure("gap", gaps.median, "s", at_most(GAP_SECONDS_MAX, " s"))
    harness.print_figure("  of it, of a processor", used.median, "s")
    harness.print_figure("  of it, of a processor, without any page", bare.median, "s")
    harness.print_figure("attach, as status says", attaches.median, "s")
    attach_seconds = used.median - bare.median
    harness.print_figure("attach, of a processor", attach_seconds, "s")
    harness.print_figure(
        "  pages attached", pages / attach_seconds / 1e6, "M pages/s", at_least(1, " M pages/s")
    )


def run_of(first: int) -> bytes:
    """Return pages that say which ones they are, and shrink well."""
    return b"".join(page_of(index) for index in range(first, first + RUN_PAGES))


def page_of(index: int) -> bytes:
    """Return one of them."""
    return (index + 1).to_bytes(8, "big") * (MARK_BYTES // 8) + bytes(PAGE - MARK_BYTES)


def kill_and_read(node: Node, round_: int, pages: int) -> tuple[float, float, float]:
    """Return the seconds of the gap, of the processor in it, and of the attach."""
    index = (round_ * 7919) % max(1, pages)
    expected = page_of(index) if pages else bytes(PAGE)
    node.send_signal(signal.SIGKILL)
    killed_at = time.perf_counter()
    node.kill()
    node.start()
    while not (client := connect(node)):
        time.sleep(CONNECT_PAUSE_SECONDS)
    with client:
        assert client.read(index * PAGE, PAGE) == expected, "a wrong page"
        gap_seconds = time.perf_counter() - killed_at
        used_seconds = processor_seconds(node.pid)
    node.wait_ready()
    memory = node.status()["memory"]
    assert memory["adopted_pages"] == pages, memory
    assert not memory["broken_pages"], memory
    wait_until(
        lambda: not node.status()["memory"]["attempts"],
        "the memory is vouched for",
        seconds_max=SETTLE_SECONDS_MAX,
    )
    return gap_seconds, used_seconds, float(memory["attach_seconds"])


def connect(node: Node) -> NbdClient | None:
    """Return a client, if the daemon is there already."""
    with suppress(OSError, NbdError):
        return node.client()
    return None


# A holder.


def run_holder(options: Options) -> None:
    """Print what crosses the links while a holder is started again."""
    export = HOLDER_EXPORT_QUICK if options.is_quick else HOLDER_EXPORT
    for keeps in (True, False):
        budgets = ["8MiB", *[f"{export // MIB + 32}MiB"] * 2]
        with cluster_of(budgets, export_bytes=export, kept={1, 2, 3} if keeps else {1, 3}) as nodes:
            owner, holder = nodes[1], nodes[2]
            pages = export // PAGE
            with owner.client() as client:
                client.write_stream(0, (marked_page(index) for index in range(pages)))
                wait_settled(owner)
                held = owner.pages_at(holder.number)
                for how in (signal.SIGTERM, signal.SIGKILL) if keeps else (signal.SIGKILL,):
                    print_restart(nodes, held, how, keeps=keeps)
                for first in range(0, pages, RUN_PAGES):
                    for index in range(first, min(first + RUN_PAGES, pages)):
                        assert client.read(index * PAGE, PAGE) == marked_page(index)
                assert not owner.engine()["store"]["lost_pages_total"]


def print_restart(nodes: Cluster, held: int, how: signal.Signals, *, keeps: bool) -> None:
    """End a holder, start it again, and print what that cost."""
    owner, holder = nodes[1], nodes[2]
    other_bytes = link_bytes(owner, 3)
    copied = copied_pages(owner)
    began_at = time.perf_counter()
    if how is signal.SIGKILL:
        holder.kill()
    else:
        holder.stop(how)
    holder.start()
    holder.wait_ready()
    nodes.wait_linked()
    wait_until(
        lambda: owner.pages_at(holder.number) >= held,
        "the holder has as many pages as before",
        seconds_max=SETTLE_SECONDS_MAX,
    )
    wait_settled(owner)
    seconds = time.perf_counter() - began_at
    crossed = link_bytes(owner, 2) + link_bytes(owner, 3) - other_bytes
    copied = copied_pages(owner) - copied
    kept = "memory kept" if keeps else "memory not kept"
    print(
        f"  {how.name}, {kept}: {held:,} pages there; {copied:,} copied again;"
        f" {crossed:,} bytes over the owner's links; {seconds:.1f} s"
    )


def link_bytes(node: Node, peer: int) -> int:
    """Return what its present link with a peer has carried, both ways."""
    links: dict[str, Any] = node.status()["links"]
    link = links[f"n{peer}"]
    return int(link["bytes_sent_total"] + link["bytes_received_total"])


def copied_pages(node: Node) -> int:
    """Return how many pages were given copies again so far."""
    return int(node.engine()["rebuild"]["rebuilt_pages_total"])


def wait_settled(owner: Node) -> None:
    """Wait until nothing is on its way, and each page has its copies."""

    def is_settled() -> bool:
        engine = owner.engine()
        return not (
            engine["remotify"]["pages_in_flight"]
            or engine["flushes_owed"]
            or engine["rebuild"]["pages_at_risk"]
            or engine["reconcile"]["reconciling_holders"]
        )

    wait_until(is_settled, "nothing is under way", seconds_max=SETTLE_SECONDS_MAX)


BENCHMARKS: dict[str, harness.Benchmark] = {"gap": run_gap, "holder": run_holder}


def run(options: Options) -> None:
    """Print both tables."""
    run_gap(options)
    run_holder(options)


if __name__ == "__main__":
    harness.run_main(BENCHMARKS, __doc__)
