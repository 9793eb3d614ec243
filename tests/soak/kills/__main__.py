"""Daemons with kept memory are killed and started again at once, under clients that check every answer.

    python -m tests.soak.kills [--kills 50] [--client qemu|libnbd|tmem] [--victims owner|holder|both|all]
        [--signal KILL|TERM] [--resize] [--seed N]

Three nodes; the disk is four times the budget of its owner, each page that left has two copies.  For each kill: the gap,
which is the time from the kill to the first answered request.  The exit status is 0 only if there was no error, no wrong
page, and all tables agree at the end.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.helpers.kept_folders import kept_folder
from tests.soak.kills.clients import KillsClient, LibnbdClient, QemuClient
from tests.soak.kills.kept_cluster import (
    as_delivered,
    check_agrees,
    keep_memory,
    repatriate_soon,
    serve_programs,
    tmem_socket,
    wait_quiet,
)
from tests.soak.kills.killing import KILLED, Kill, kill_often
from tests.soak.kills.pools import PoolsClient
from tests.system.daemons import MIB, Cluster, Node

OWNER_MEBIBYTES: Final = 16
DISK_MEBIBYTES: Final = 4 * OWNER_MEBIBYTES
# Of the client whose pages shrink by a fifth.
SHRINKING_MEBIBYTES: Final = 5 * OWNER_MEBIBYTES
HOLDER_MEBIBYTES: Final = 96
GAP_SECONDS_MAX: Final = 2.0
RESIZED_MEBIBYTES: Final = (8, 16, 24, 48)


def make_cluster(folder: Path, sockets: Path, memories: Path) -> Cluster:
    """Write the files of three nodes that keep their memory."""
    cluster = Cluster(
        folder,
        sockets,
        budgets=[f"{OWNER_MEBIBYTES}MiB", *[f"{HOLDER_MEBIBYTES}MiB"] * 2],
        export=f"{SHRINKING_MEBIBYTES}MiB",
        copies=2,
    )
    keep_memory(cluster, memories)
    as_delivered(cluster)
    serve_programs(cluster[1])
    repatriate_soon(cluster[1])
    return cluster


def make_client(
    options: argparse.Namespace, owner: Node, folder: Path, stack: ExitStack
) -> KillsClient:
    """Return who is at work all along."""
    match options.client:
        case "qemu":
            return QemuClient(owner, folder, DISK_MEBIBYTES * MIB, stack)
        case "libnbd":
            return LibnbdClient(owner, SHRINKING_MEBIBYTES * MIB, options.seed, stack)
        case _:
            return PoolsClient(tmem_socket(owner), options.seed, stack)


def run(options: argparse.Namespace, folder: Path, sockets: Path, memories: Path) -> Sequence[Kill]:
    """Start everything, kill, and judge; return what each kill was like."""
    cluster = make_cluster(folder, sockets, memories)
    is_done = False
    try:
        cluster.start()
        with ExitStack() as stack:
            client = make_client(options, cluster[1], folder, stack)
            kills = kill_often(
                cluster,
                client,
                options.victims,
                options.kills,
                random.Random(options.seed),
                how=signal.Signals[f"SIG{options.signal}"],
                budgets_mebibytes=RESIZED_MEBIBYTES if options.resize else (),
            )
            print(f"  {client.name}: {client.finish()}: no error, no wrong page")
        wait_quiet(cluster)
        check_agrees(cluster)
        is_done = True
    finally:
        if not is_done:
            cluster.print_logs()
        cluster.close()
    return kills


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--client", choices=["qemu", "libnbd", "tmem"], default="libnbd")
    parser.add_argument("--victims", choices=sorted(KILLED), default="owner")
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--resize", action="store_true", help="change the owner's budget all along")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**9)
    return parser.parse_args(argv)


def main() -> int:
    """Run it."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    print(f"kills: seed {options.seed}, {options.kills} of {options.victims}, {options.client}")
    with (
        kept_folder() as memories,
        tempfile.TemporaryDirectory(prefix="ram-", dir="/tmp") as name,
    ):
        folder, sockets = Path(name) / "files", Path(name) / "sockets"
        folder.mkdir()
        sockets.mkdir()
        kills = run(options, folder, sockets, memories)
    gaps = [each.gap_seconds for each in kills]
    median, worst = statistics.median(gaps), max(gaps)
    held = f"the bar is {GAP_SECONDS_MAX:g} s; load {os.getloadavg()[0]:.0f}"
    print(f"kills: gap {median:.2f} s (median), {worst:.2f} s (worst); {held}")
    print("kills: all of it held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
