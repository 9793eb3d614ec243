"""A holder is killed or stopped under a client that swaps: the longest that one request takes.

    python -m benchmarks.stalls [--rounds 5] [--quick]

Daemons on loopback, with two copies and the default timers and limits: an owner with three peers, then with two, then
with three of which two don't hold two copies of all.  The owner's budget holds a quarter of what the client writes.
The client does what a kernel does that swaps out: writes of 4 to 128 KiB, reads of one page and of eight, now and then
a discard, many at a time.  It knows what each page must hold, and looks at each that it reads.

In each round one holder gets SIGKILL, or SIGSTOP, and is back after `FAULT_SECONDS` (SIGCONT, or a new process); the
next round waits until no page is at risk.  What counts is the longest that any request took meanwhile, reads and
writes apart, and the errors, of which there must be none.  All processes share the machine's cores: on a busy one the
figures tell of that.  `tests/simulation/test_stalls.py` has what timers alone cost.
"""

import random
import select
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks import harness
from benchmarks.harness import Options, at_most
from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.frontends.nbd.protocol import Command
from tests.system.arena import PAGE
from tests.system.daemons import Cluster, wait_until
from tests.system.hosts import pages_at_risk

EXPORT_PAGES = 16 * 1024
OWNER_BUDGET = "16MiB"
# By what is measured: how many peers, and the budget of each.
CLUSTERS = {
    "3 peers": (3, "128MiB"),
    "2 peers": (2, "128MiB"),
    "3 peers, little room": (3, "40MiB"),
}
DEPTH = 32
FAULT_SECONDS = 12.0
WARM_SECONDS = 3.0
SETTLE_SECONDS_MAX = 120.0
# Pages of one request, and how often each is drawn.
READS, READ_WEIGHTS = (1, 8), (1, 3)
WRITES, WRITE_WEIGHTS = (1, 8, 32), (2, 2, 6)
TRIM_PAGES = 512
COMMANDS, COMMAND_WEIGHTS = (Command.READ, Command.WRITE, Command.TRIM), (20, 79, 1)
DEAD_SECONDS_MAX, STOPPED_SECONDS_MAX = 1.0, 2.0
FAULTS = {signal.SIGKILL: DEAD_SECONDS_MAX, signal.SIGSTOP: STOPPED_SECONDS_MAX}
NOISE = random.Random(0).randbytes(1 << 20)


def page_of(index: int, version: int) -> bytes:
    """Return what a page holds: half noise, half a number, so that it shrinks to about half."""
    if not version:
        return bytes(PAGE)
    start = (index * 7919 + version * 104729) % (len(NOISE) - PAGE)
    return NOISE[start : start + PAGE // 2] + (index << 32 | version).to_bytes(8, "big") * (
        PAGE // 16
    )


@dataclass(slots=True)
class Request:
    """One request under way."""

    command: Command
    index: int
    count: int
    began: float


@dataclass(slots=True)
class Worst:
    """The longest requests of one fault, and those that failed."""

    seconds: dict[Command, float] = field(default_factory=lambda: dict.fromkeys(COMMANDS, 0.0))
    errors: int = 0
    requests: int = 0


class Swapper:
    """The client."""

    def __init__(self, client: NbdClient, rng: random.Random) -> None:
        self._client = client
        self._sock = client._sock
        self._rng = rng
        self._versions = [0] * EXPORT_PAGES
        self._busy = bytearray(EXPORT_PAGES)
        self._under_way: dict[int, Request] = {}

    def run(self, seconds: float) -> Worst:
        """Swap for some time; what is under way at the end is waited for."""
        worst, end = Worst(), time.perf_counter() + seconds
        while (now := time.perf_counter()) < end or self._under_way:
            while now < end and len(self._under_way) < DEPTH:
                self._ask()
            if select.select([self._sock], [], [], 60.0)[0]:
                self._take_answer(worst)
            else:
                raise RuntimeError("no answer for a minute")
        return worst

    def _ask(self) -> None:
        rng, client = self._rng, self._client
        (command,) = rng.choices(COMMANDS, COMMAND_WEIGHTS)
        if command is Command.READ:
            (count,) = rng.choices(READS, READ_WEIGHTS)
        elif command is Command.WRITE:
            (count,) = rng.choices(WRITES, WRITE_WEIGHTS)
        else:
            count = TRIM_PAGES
        index = rng.randrange(EXPORT_PAGES // count) * count
        if any(self._busy[index : index + count]):
            return
        self._busy[index : index + count] = b"\1" * count
        payload = b""
        if command is Command.WRITE:
            for each in range(index, index + count):
                self._versions[each] += 1
            payload = b"".join(
                page_of(each, self._versions[each]) for each in range(index, index + count)
            )
        elif command is Command.TRIM:
            self._versions[index : index + count] = [0] * count
        cookie = client._next_cookie
        self._under_way[cookie] = Request(command, index, count, time.perf_counter())
        client._ask(command, index * PAGE, count * PAGE, payload=payload)

    def _take_answer(self, worst: Worst) -> None:
        before = set(self._client._waiting)
        data, failed = b"", False
        try:
            _, data = self._client._next_reply()
        except RequestFailed as error:
            failed = True
            print(f"    {error}")
        now = time.perf_counter()
        (cookie,) = before - self._client._waiting.keys()
        request = self._under_way.pop(cookie)
        took = now - request.began
        worst.requests += 1
        worst.seconds[request.command] = max(worst.seconds[request.command], took)
        worst.errors += failed
        run = range(request.index, request.index + request.count)
        if request.command is Command.READ and not failed:
            expected = b"".join(page_of(each, self._versions[each]) for each in run)
            if data != expected:
                raise RuntimeError(f"wrong pages at {request.index}")
        self._busy[run.start : run.stop] = bytes(request.count)


@contextmanager
def cluster_of(peers: int, peer_budget: str) -> Iterator[Cluster]:
    """Run an owner and some peers until the block ends."""
    with harness.temp_dir() as folder:
        (folder / "s").mkdir()
        cluster = Cluster(
            folder, folder / "s", budgets=[OWNER_BUDGET, *[peer_budget] * peers],
            export=f"{EXPORT_PAGES * PAGE // 1024}KiB", copies=2,
        )  # fmt: skip
        use_defaults(cluster)
        cluster.measure_processes()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


def use_defaults(cluster: Cluster) -> None:
    """Take away the timers and limits that make tests short."""
    for node in cluster:
        lines = node.config.read_text().splitlines()
        node.config.write_text(
            "\n".join(each for each in lines if "_seconds_max" not in each) + "\n"
        )
    members = node.config.with_name("cluster.toml")
    text = members.read_text()
    head, rest = text.split("[timers]")
    members.write_text(head + rest[rest.index("[[node]]") :])


def fault(
    cluster: Cluster, swapper: Swapper, victim: int, number: signal.Signals, seconds: float
) -> Worst:
    """Let a holder be away while the client swaps; return what the client saw."""
    owner, holder = cluster[1], cluster[victim]
    swapper.run(WARM_SECONDS)
    if number is signal.SIGKILL:
        holder.kill()
    else:
        holder.send_signal(number)
    worst = swapper.run(seconds)
    if number is signal.SIGKILL:
        holder.start()
        holder.wait_ready()
    else:
        holder.send_signal(signal.SIGCONT)
    cluster.wait_linked()
    wait_until(
        lambda: pages_at_risk(owner) == 0, "no page is at risk", seconds_max=SETTLE_SECONDS_MAX
    )
    return worst


def run(options: Options) -> None:
    """Print the table."""
    seconds = 1.0 if options.is_quick else FAULT_SECONDS
    for name, (peers, peer_budget) in CLUSTERS.items():
        with cluster_of(peers, peer_budget) as cluster, cluster[1].client() as client:
            swapper = Swapper(client, random.Random(peers))
            swapper.run(WARM_SECONDS)
            quiet = swapper.run(WARM_SECONDS)
            print(f"  {name}, no fault: {quiet.requests / WARM_SECONDS:,.0f} requests a second")
            print_rounds(f"{name}, no fault", [quiet], STOPPED_SECONDS_MAX)
            for number, bar in FAULTS.items():
                rounds = [
                    fault(cluster, swapper, 2 + each % peers, number, seconds)
                    for each in range(options.rounds)
                ]
                print_rounds(f"{name}, {number.name}", rounds, bar)


def print_rounds(what: str, rounds: list[Worst], bar: float) -> None:
    """Print median and worst."""
    for command in (Command.READ, Command.WRITE):
        longest = [each.seconds[command] for each in rounds]
        harness.print_figure(
            f"{what}: longest {command.name}, median", statistics.median(longest), "s"
        )
        harness.print_figure(f"  the worst of {len(rounds)}", max(longest), "s", at_most(bar, " s"))
    if errors := sum(each.errors for each in rounds):
        print(f"  ERRORS: {errors}")


if __name__ == "__main__":
    harness.run_main({"stalls": run}, __doc__)
