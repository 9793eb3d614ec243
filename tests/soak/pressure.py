"""The memory that a daemon takes after its start, while it serves swap: a bound that does not grow.

    python -m tests.soak.pressure [--minutes 5]

fio asks with the mix of requests that a kernel sends when it swaps, for more than the daemon may keep, so that pages
leave for three peers and come back.  Each third minute a holder is killed and started again.  A line a minute shows
what the kernel counts of the daemon.  The exit status is 0 only if its anonymous memory did not grow by more than
`GROWTH_BYTES_MAX`, it waited for no page from a disk, and fio got no error.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.system.daemons import EXPORT, MIB, Cluster, Node, wait_until

MINUTE_SECONDS: Final = 60
BUDGET_MEBIBYTES: Final = 64
EXPORT_MEBIBYTES: Final = 320
# Of the heap, of both allocators.  What is spare at the start is there already.
GROWTH_BYTES_MAX: Final = 4 * MIB
KILL_EVERY_MINUTES: Final = 3
# The mix that a kernel sends (fio(1), --bssplit), over compressible pages.
SWAP_LIKE: Final = (
    "--ioengine=nbd", "--rw=randrw", "--bssplit=4k/40:32k/40:128k/20", "--iodepth=16", "--time_based",
    "--buffer_compress_percentage=60", "--refill_buffers", "--name=swap-like",
)  # fmt: skip


class SoakFailed(Exception):
    """Something did not hold; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the kernel counts of a process, in bytes and faults (proc(5))."""

    resident: int
    anonymous: int
    shared: int
    page_tables: int
    locked: int
    minor_faults: int
    major_faults: int

    @classmethod
    def by(cls, pid: int) -> "Taken":
        """Look."""
        status = Path(f"/proc/{pid}/status").read_text()
        found = {
            name: int(kibibytes) * 1024
            for name, kibibytes in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)
        }
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return cls(
            resident=found["VmRSS"],
            anonymous=found["RssAnon"],
            shared=found["RssShmem"],
            page_tables=found["VmPTE"],
            locked=found["VmLck"],
            minor_faults=int(fields[7]),
            major_faults=int(fields[9]),
        )

    def row(self, minute: int) -> str:
        """Return a line of the table."""
        sizes = (self.resident, self.anonymous, self.shared, self.page_tables, self.locked)
        mebibytes = "".join(f"{size / MIB:12,.2f}" for size in sizes)
        return f"{minute:>6}{mebibytes}{self.minor_faults:>14,}{self.major_faults:>14,}"


HEAD: Final = (
    f"{'minute':>6}{'RSS, MiB':>12}{'anonymous':>12}{'tables+arena':>13}{'page tables':>12}{'VmLck':>11}"
    f"{'minor faults':>14}{'major faults':>14}"
)


def make_cluster(folder: Path) -> Cluster:
    """Write the files of four daemons, of which the first serves swap."""
    files = folder / "files"
    files.mkdir()
    budgets = [f"{BUDGET_MEBIBYTES}MiB", *[f"{EXPORT_MEBIBYTES}MiB"] * 3]
    cluster = Cluster(
        files, folder / "sockets", budgets=budgets, export=f"{EXPORT_MEBIBYTES}MiB", copies=2
    )
    cluster.measure_processes()
    config = cluster[1].config
    text = config.read_text()
    config.write_text(text.replace("[[export]]\n", "[[export]]\nswap = true\n"))
    return cluster


def begin_swapping(node: Node, seconds: int) -> subprocess.Popen[str]:
    """Begin a load of so many seconds."""
    return subprocess.Popen(
        [
            "fio", *SWAP_LIKE, f"--uri=nbd+unix:///{EXPORT}?socket={node.nbd}",
            f"--size={EXPORT_MEBIBYTES - 20}M", f"--runtime={seconds}", "--output=/dev/null",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def soak(cluster: Cluster, minutes: int, seconds: int) -> tuple[Taken, Taken]:
    """Load the first daemon; return what it had before and after that."""
    node, holder = cluster[1], cluster[2]
    print(HEAD)
    first = taken = Taken.by(node.pid)
    print(taken.row(0), flush=True)
    for minute in range(1, minutes + 1):
        fio = begin_swapping(node, seconds)
        if minute % KILL_EVERY_MINUTES == 0:
            time.sleep(seconds / 4)
            holder.kill()
            time.sleep(seconds / 4)
            holder.start()
        _, said = fio.communicate(timeout=10 * seconds + 60)
        taken = Taken.by(node.pid)
        print(taken.row(minute), flush=True)
        holder.wait_ready()
        if fio.returncode:
            raise SoakFailed(f"fio: {said[-500:]}")
    return first, taken


def judge(node: Node, first: Taken, last: Taken) -> None:
    """Raise SoakFailed if the daemon took what it was not to take."""
    grown = last.anonymous - first.anonymous
    protection = node.status()["protection"]
    print(
        f"anonymous memory grew by {grown / MIB:.2f} MiB, of {first.anonymous / MIB:.2f};"
        f" {protection['major_faults_total']} page faults from disk since the start;"
        f" locked: {protection['is_locked']}, I/O flusher: {protection['is_io_flusher']},"
        f" OOM score {protection['oom_score_adj']}"
    )
    if grown > GROWTH_BYTES_MAX:
        raise SoakFailed(f"it grew by more than {GROWTH_BYTES_MAX / MIB:g} MiB")
    if protection["major_faults_total"]:
        raise SoakFailed("it waited for a page from a disk")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=MINUTE_SECONDS, help="of a minute")
    options = parser.parse_args()
    status = 1
    with tempfile.TemporaryDirectory(prefix="ram-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "sockets").mkdir()
        cluster = make_cluster(folder)
        try:
            cluster.start()
            node = cluster[1]
            wait_until(
                lambda: not node.engine()["store"]["reserve"]["is_short"], "the reserve is there"
            )
            judge(node, *soak(cluster, options.minutes, options.seconds))
            print("soak: all of it held")
            status = 0
        except KeyboardInterrupt:
            print("soak: interrupted; nothing is left behind", file=sys.stderr)
            status = 130
        except Exception as failure:
            print(f"soak: FAILED: {failure!r}", file=sys.stderr)
            cluster.print_logs()
        finally:
            cluster.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
