"""A holder is killed: how long until its pages are read again, and what a client sees of it.

    python -m benchmarks.failover [--rounds 5] [--quick]

Five daemons on hosts of their own (network namespaces), with TLS, two copies and the timers of a cluster that
`ramsterctl cluster init` made.  Node 1 has a budget that holds less than half of the export.

Reads: before each kill all pages are written anew, and the memory of the victim shows which of them it keeps.  Right
after the SIGKILL 64 of these are asked for; what counts is the time from before the signal to the first and to the last
good answer.  Then the victim is started again, and the next kill waits until no page is at risk.

Throughput: fio writes at random and verifies what it wrote, at depth 32; what NBD requests the daemon took in the 10
seconds before a SIGKILL is compared with the 10 seconds after it.  Needs root.
"""

import importlib.util
import json
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import harness
from benchmarks.harness import Options, Samples
from ramsterd.client.nbd import NbdClient
from ramsterd.frontends.nbd.protocol import Command
from tests.system.arena import PAGE, marked_page, pages_in_memory
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.hosts import move_in, pages_at_risk
from tests.system.namespaces import network

KILLS, KILLS_QUICK = 20, 2
PAGES = 8192
EXPORT = "32MiB"
BUDGETS = ["12MiB", *["64MiB"] * 4]
VICTIMS = (2, 3, 4, 5)
ASKED_PAGES = 64
THROUGHPUT_SECONDS = 10.0
# fio needs longer than the two halves: to start, and until the pages of its first pass are where they belong.
WARM_SECONDS = 3.0
SETTLE_SECONDS_MAX = 120.0


def run(options: Options) -> None:
    """Print the table."""
    harness.need_root()
    harness.need_tools("ip", "fio")
    if importlib.util.find_spec("cryptography") is None:
        raise harness.Skipped("needs cryptography (ramster[tls])")
    with rack() as cluster:
        kills = KILLS_QUICK if options.is_quick else KILLS
        print_reads([kill_and_read(cluster, each) for each in range(kills)])
        seconds = options.seconds(THROUGHPUT_SECONDS)
        print_throughput(
            [kill_under_load(cluster, each, seconds) for each in range(options.rounds)], seconds
        )


@contextmanager
def rack() -> Iterator[Cluster]:
    """Run five daemons until the block ends."""
    with harness.temp_dir() as folder, network(len(BUDGETS)) as hosts:
        (folder / "s").mkdir()
        cluster = Cluster(folder, folder / "s", budgets=BUDGETS)
        move_in(cluster, hosts, folder / "rack", export=EXPORT, budgets=BUDGETS, timers={})
        cluster.measure_processes()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


# Reads.


@dataclass(frozen=True, slots=True)
class Reads:
    """One kill: seconds to the first and to the last good read, and how many pages came from a peer."""

    first_seconds: float
    last_seconds: float
    from_peers: int


def kill_and_read(cluster: Cluster, round_: int) -> Reads:
    """Kill a holder, and read pages that it kept."""
    owner, victim = cluster[1], cluster[VICTIMS[round_ % len(VICTIMS)]]
    first = round_ * PAGES
    with owner.client() as client:
        client.write_stream(0, (marked_page(first + each) for each in range(PAGES)))
        wait_settled(owner)
        kept = sorted(each for each in pages_in_memory(victim) if each >= first)
        asked = random.Random(round_).sample(kept, ASKED_PAGES)
        fetched = owner.engine()["fetch"]["fetched_pages_total"]
        started = time.perf_counter()
        victim.send_signal(signal.SIGKILL)
        for number in asked:
            client._ask(Command.READ, (number - first) * PAGE, PAGE)
        times = [time_of_next_answer(client, first) - started for _ in asked]
    victim.kill()
    from_peers = owner.engine()["fetch"]["fetched_pages_total"] - fetched
    revive(cluster, victim)
    return Reads(times[0], times[-1], from_peers)


def time_of_next_answer(client: NbdClient, first: int) -> float:
    """Take one answer, which must be right."""
    offset, page = client._next_reply()
    answered = time.perf_counter()
    assert page == marked_page(first + offset // PAGE), "a wrong page"
    return answered


def wait_settled(owner: Node) -> None:
    """Wait until nothing is on its way."""
    wait_until(
        lambda: (
            not owner.engine()["remotify"]["pages_in_flight"] and not owner.engine()["flushes_owed"]
        ),
        "nothing is under way",
        seconds_max=SETTLE_SECONDS_MAX,
    )


def revive(cluster: Cluster, victim: Node) -> None:
    """Start a node again, and wait until all pages have two copies."""
    victim.start()
    victim.wait_ready()
    cluster.wait_linked()
    wait_until(
        lambda: pages_at_risk(cluster[1]) == 0,
        "no page is at risk",
        seconds_max=SETTLE_SECONDS_MAX,
    )


def print_reads(rounds: list[Reads]) -> None:
    """Print median and worst."""
    for what, seconds in (
        ("to the next good read of a page it held", [each.first_seconds for each in rounds]),
        (f"until {ASKED_PAGES} of them were read", [each.last_seconds for each in rounds]),
    ):
        harness.print_figure(f"{what}, median", statistics.median(seconds) * 1e3, "ms")
        harness.print_figure(f"  the worst of {len(rounds)} kills", max(seconds) * 1e3, "ms")
    fetched = sum(each.from_peers for each in rounds)
    print(f"  ({fetched:,} pages came from the other holder, of {len(rounds) * ASKED_PAGES:,})")


# Throughput.


@dataclass(frozen=True, slots=True)
class Load:
    """One kill under load: requests a second before and after, and the longest that one took."""

    before: float
    after: float
    longest_seconds: float


def kill_under_load(cluster: Cluster, round_: int, seconds: float) -> Load:
    """Count what a client gets done, before and after a kill."""
    owner, victim = cluster[1], cluster[VICTIMS[round_ % len(VICTIMS)]]
    fio = subprocess.Popen(
        fio_command(owner, WARM_SECONDS + 2 * seconds + 1),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        time.sleep(WARM_SECONDS)
        before = requests_a_second(owner, seconds)
        victim.kill()
        after = requests_a_second(owner, seconds)
        output, _ = fio.communicate(timeout=SETTLE_SECONDS_MAX)
    finally:
        fio.kill()
        fio.wait()
    if fio.returncode:
        raise RuntimeError(f"fio failed: {output}")
    revive(cluster, victim)
    return Load(before, after, longest_seconds(output))


def fio_command(owner: Node, seconds: float) -> list[str]:
    """Return a job that writes at random, and reads back what it wrote a little later."""
    return [
        "fio", "--name=job", "--ioengine=nbd", f"--uri={owner.uri}", "--rw=randwrite", "--bs=4k",
        f"--size={EXPORT.removesuffix('iB')}", "--iodepth=32", "--verify=crc32c",
        "--verify_backlog=256", "--verify_fatal=1", "--verify_state_save=0", "--time_based",
        f"--runtime={int(seconds * 1000)}ms", "--output-format=json",
    ]  # fmt: skip


def requests_a_second(owner: Node, seconds: float) -> float:
    """Count requests for some time."""
    start, before = time.perf_counter(), requests_total(owner)
    time.sleep(seconds)
    count = requests_total(owner) - before
    return count / (time.perf_counter() - start)


def requests_total(owner: Node) -> int:
    """Return how many NBD requests the daemon took so far."""
    return sum(owner.status()["nbd"]["requests_total"].values())


def longest_seconds(output: str) -> float:
    """Return how long the slowest request of a job took."""
    job = json.loads(output[output.index("{") :])["jobs"][0]
    return float(max(job[side]["lat_ns"]["max"] for side in ("read", "write")) / 1e9)


def print_throughput(rounds: list[Load], seconds: float) -> None:
    """Print the two halves side by side, and the longest request."""
    harness.print_comparison(
        f"fio verify, {seconds:g} s after", "req/s",
        Samples(tuple(each.after for each in rounds)),
        "before",
        Samples(tuple(each.before for each in rounds)),
    )  # fmt: skip
    longest = [each.longest_seconds for each in rounds]
    harness.print_figure("the longest request, median", statistics.median(longest) * 1e3, "ms")
    harness.print_figure(f"  the worst of {len(rounds)} kills", max(longest) * 1e3, "ms")


if __name__ == "__main__":
    harness.run_main({"failover": run}, __doc__)
