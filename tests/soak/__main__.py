"""The soak: eight clients of both kinds against three real daemons, while budgets move up and down.

    python -m tests.soak [--minutes 3] [--seed N]

Each client knows what it put and judges what it gets.  All along, the first daemon checks its tables and its zpages,
and its resident memory must follow its budget.  The exit status is 0 only if all of it held.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from config.units import human_bytes
from ramsterd.client import PoolKind
from tests.soak.clients import PAGES, DiskClient, PoolClient, SoakClient
from tests.system.daemons import EXPORT, MIB, Cluster, Node, wait_until

BUDGETS_MEBIBYTES: Final = (8, 12, 16, 24, 40)
DISKS: Final = 4
CHECK_SECONDS: Final = 2.0
MOVE_EVERY_CHECKS: Final = 3
# A put may wait for room for seconds, and a budget that moves for longer.
IDLE_CHECKS_MAX: Final = 15
# DESIGN.md, section 10: resident memory over the budget.
OVERHEAD_BYTES: Final = 64 * MIB
OVERHEAD_FRACTION: Final = 0.03
RESIZE_SECONDS_MAX: Final = 60.0


class SoakFailed(Exception):
    """Something did not hold; the message says what."""


def make_cluster(folder: Path) -> Cluster:
    """Write the files of three daemons, the first of which serves programs too, and sends their caches to peers."""
    export_pages = DISKS * PAGES
    files = folder / "files"
    files.mkdir()
    # Peers small enough that a small budget of the first node fills the cluster now and then.
    cluster = Cluster(
        files,
        folder / "sockets",
        budgets=["24MiB", "6MiB", "6MiB"],
        export=str(export_pages * 4096),
    )
    cluster.measure_processes()
    first = cluster[1].config
    text = first.read_text().replace(
        "[remote]\n", "[remote]\nephemeral = true\nrepatriate_seconds = 2.0\n"
    )
    first.write_text(f'{text}\n[tmem]\nsocket = "{folder}/sockets/tmem.sock"\n')
    return cluster


def make_clients(node: Node, folder: Path, seed: int) -> list[SoakClient]:
    """Return four clients of the disk and four of pools."""

    def rng(name: str) -> random.Random:
        return random.Random(f"{seed} {name}")

    disks: list[SoakClient] = [
        DiskClient(f"disk{part}", rng(f"disk{part}"), node.nbd, EXPORT, part)
        for part in range(DISKS)
    ]
    pools: list[SoakClient] = [
        PoolClient(name, rng(name), folder / "sockets" / "tmem.sock", kind, codec)
        for name, kind, codec in [
            ("persistent-lz4", PoolKind.PERSISTENT, "lz4"),
            ("persistent-zstd", PoolKind.PERSISTENT, "zstd"),
            ("ephemeral-lz4", PoolKind.EPHEMERAL, "lz4"),
            ("ephemeral-none", PoolKind.EPHEMERAL, "none"),
        ]
    ]
    return disks + pools


def resident_bytes(node: Node) -> int:
    """Return what the kernel counts as resident of a daemon."""
    assert node.process is not None
    rollup = Path(f"/proc/{node.process.pid}/smaps_rollup").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Rss:")
    )


def move_budget(node: Node, rng: random.Random) -> str:
    """Change the budget and wait for the end of that; return what became of it."""
    wanted = rng.choice(BUDGETS_MEBIBYTES)
    node.ask("memory-set", budget=f"{wanted}MiB")
    wait_until(
        lambda: node.engine()["resize"]["state"] != "shrinking",
        f"a budget of {wanted} MiB",
        seconds_max=RESIZE_SECONDS_MAX,
    )
    return f"{wanted} MiB {node.engine()['resize']['state']}"


def check(cluster: Cluster, clients: Sequence[SoakClient]) -> Any:
    """Look at everything; return the first daemon's statistics.

    Raises:
        SoakFailed: Something does not hold.
    """
    for client in clients:
        if client.failure:
            raise SoakFailed(client.failure)
        client.idle_checks = client.idle_checks + 1 if client.operations == client.seen else 0
        client.seen = client.operations
        if client.is_alive() and client.idle_checks > IDLE_CHECKS_MAX:
            raise SoakFailed(f"{client.name} hangs: nothing in {client.idle_checks} checks")
    for node in cluster.nodes.values():
        node.ask("verify", invariants=True)
    now = cluster[1].engine()
    budget = now["store"]["zbud"]["budget_bytes"]
    if now["store"]["zbud"]["resident_bytes"] > budget and now["resize"]["state"] != "shrinking":
        raise SoakFailed(f"the arena is over its budget: {now['store']['zbud']}")
    resident = resident_bytes(cluster[1])
    if (
        now["resize"]["state"] != "shrinking"
        and resident > budget * (1 + OVERHEAD_FRACTION) + OVERHEAD_BYTES
    ):
        raise SoakFailed(f"{human_bytes(resident)} resident for a budget of {human_bytes(budget)}")
    for node in cluster.nodes.values():
        engine = node.engine()
        for counter in (engine["store"]["corrupt_pages_total"], engine["fetch"]["corrupt_pages_total"],
                        engine["scrub"]["corrupt"]):  # fmt: skip
            if counter:
                raise SoakFailed(f"{node.name}: damaged zpages: {counter}")
    return now


def soak(
    cluster: Cluster, clients: Sequence[SoakClient], rng: random.Random, seconds: float
) -> None:
    """Let the clients work, move budgets and check, for so long."""
    for client in clients:
        client.start()
    started, checks = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        time.sleep(min(CHECK_SECONDS, seconds - elapsed))
        now = check(cluster, clients)
        moved = ""
        if checks % MOVE_EVERY_CHECKS == 0:
            moved = f"  budget {move_budget(cluster[1], rng)}"
        checks += 1
        operations = sum(client.operations for client in clients)
        refused = sum(client.refused for client in clients)
        away = sum(holder["pages"] for holder in now["remote"])
        print(
            f"{elapsed:6.0f} s  {operations:8} operations  {refused:5} refused  {away:6} pages away"
            f"  {human_bytes(resident_bytes(cluster[1])):>10} resident{moved}",
            flush=True,
        )


def finish(cluster: Cluster, clients: Sequence[SoakClient]) -> None:
    """Have every client read all it has, and look once more."""
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(120)
        if client.is_alive():
            raise SoakFailed(f"{client.name} hangs")
    now = check(cluster, clients)
    store = now["store"]
    for client in clients:
        print(f"  {client.name:<16} {client.operations:8} operations  {client.refused:5} refused")
    print(
        f"  remotified {now['remotify']['stored_pages_total']} persistent and"
        f" {now['remotify']['ephemeral']['stored_pages_total']} ephemeral pages,"
        f" fetched {now['fetch']['fetched_pages_total']},"
        f" repatriated {now['repatriate']['repatriated_pages_total']},"
        f" compacted {now['compacted_zpages_total']}, evicted {store['evicted_pages_total']}"
    )


def check_was_full(clients: Sequence[SoakClient], minutes: float) -> None:
    """Raise SoakFailed if the cluster was never full, for then half of the oracle was idle."""
    if minutes >= 1 and not any(client.refused for client in clients):
        raise SoakFailed("the cluster was never full")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**9)
    options = parser.parse_args()
    # Ended by a signal, it must end its daemons too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    print(f"soak: seed {options.seed}, {options.minutes:g} minutes", flush=True)
    status = 1
    with tempfile.TemporaryDirectory(prefix="ram-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "sockets").mkdir()
        cluster = make_cluster(folder)
        clients: list[SoakClient] = []
        try:
            cluster.start()
            clients += make_clients(cluster[1], folder, options.seed)
            soak(cluster, clients, random.Random(options.seed), 60 * options.minutes)
            finish(cluster, clients)
            check_was_full(clients, options.minutes)
            print("soak: all of it held")
            status = 0
        except KeyboardInterrupt:
            print("soak: interrupted; nothing is left behind", file=sys.stderr)
            status = 130
        except Exception as failure:
            print(f"soak: FAILED with seed {options.seed}: {failure!r}", file=sys.stderr)
            cluster.print_logs()
        finally:
            for client in clients:
                client.stopping.set()
            cluster.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
