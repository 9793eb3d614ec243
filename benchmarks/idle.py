"""What an idle daemon costs among few and among many nodes.

    python -m benchmarks.idle [--nodes 3 24 64] [--seconds 60]

All nodes are real daemons on this machine, linked with each other, without a page or a client.  The processor time is
that of node 1, whose number makes it accept all of its links; the last node dials them all.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.processes import (
    RAMSTERD,
    free_port,
    processor_seconds,
    rss_bytes,
    running,
    wait_until,
)
from ramsterd.cli.ask import send_command

NODES = (3, 24, 64)
SECONDS = 60.0
# All processes start at once, on few cores.
LINKED_SECONDS_MAX = 300.0
# After the last link is up, for what follows from it.
SETTLED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one daemon."""

    processor_part: float
    rounds_per_second: float
    rss_mib: float


def status(folder: Path) -> Any:
    """Ask the control socket."""
    return json.loads(send_command(folder / "control", "status", seconds_max=30))["result"]


def is_linked(folder: Path, nodes: int) -> bool:
    """Whether a daemon has a link to each other one."""
    try:
        return len(status(folder)["links"]) == nodes - 1
    except OSError:
        return False


def measure(nodes: int, seconds: float) -> dict[str, Cost]:
    """Run a cluster; return what its first and its last node cost."""
    with harness.temp_dir() as folder, ExitStack() as stack:
        members = "".join(
            f'[[node]]\nnumber = {number}\nname = "n{number}"\naddress = "127.0.0.1"\nport = {free_port()}\n'
            for number in range(1, nodes + 1)
        )
        pids, folders = [], []
        for number in range(1, nodes + 1):
            own = folder / str(number)
            own.mkdir()
            (own / "cluster.toml").write_text(f'name = "idle"\n{members}')
            (own / "ramsterd.toml").write_text(
                f'node = "n{number}"\ncluster = "cluster.toml"\nstate_dir = "state"\n'
                '[memory]\nbudget = "8MiB"\n[control]\nsocket = "control"\n[log]\nlevel = "error"\n'
            )
            command = [
                sys.executable,
                "-c",
                RAMSTERD,
                "run",
                "--config",
                str(own / "ramsterd.toml"),
            ]
            pids.append(stack.enter_context(running(command, log=own / "log")).pid)
            folders.append(own)
        for own in (folders[0], folders[-1]):
            wait_until(
                lambda own=own: is_linked(own, nodes),  # type: ignore[misc]  # bound at once
                f"{own.name} is linked to all", LINKED_SECONDS_MAX, pause_seconds=1.0,
            )  # fmt: skip
        time.sleep(SETTLED_SECONDS)
        ends = {"first": (pids[0], folders[0]), "last": (pids[-1], folders[-1])}
        before = {name: (processor_seconds(pid), rounds(own)) for name, (pid, own) in ends.items()}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        return {
            name: Cost(
                (processor_seconds(pid) - before[name][0]) / passed,
                (rounds(own) - before[name][1]) / passed,
                rss_bytes(pid) / (1 << 20),
            )
            for name, (pid, own) in ends.items()
        }


def rounds(folder: Path) -> int:
    """Return how often a loop came round."""
    return sum(status(folder)["loop_stall"]["counts"])


def main() -> None:
    """Print a row for each size of the cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    print(f"  {'nodes':>5}  {'node':<5} {'of a core':>9}  {'rounds/s':>8}  {'RSS':>9}")
    for nodes in given.nodes:
        for name, cost in measure(nodes, given.seconds).items():
            print(
                f"  {nodes:>5}  {name:<5} {cost.processor_part:>9.2%}  {cost.rounds_per_second:>8.0f}"
                f"  {cost.rss_mib:>5.1f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
