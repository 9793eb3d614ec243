"""What is left in a daemon of clients that came and went, and what idle ones cost.

    python -m benchmarks.client_ends [--quick]

A thousand clients of each kind of end at each endpoint, one daemon for all, about two minutes.  RSS grows by what the
allocator keeps for the next; a leak grows with the clients.
"""

import contextlib
import json
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.client_kinds import ENDS, nbd_join, nbd_read, read_to_end, tmem_join
from benchmarks.harness import Options, at_most
from benchmarks.processes import (
    MIB,
    RAMSTERD,
    free_port,
    peak_bytes,
    rss_bytes,
    running,
    wait_until,
)
from ramsterd.client.nbd import NbdClient
from ramsterd.core.page import PAGE_BYTES

CLIENTS, CLIENTS_QUICK = 1000, 20
WARM_UP = 20
DISK_BYTES = 64 * MIB
# The whole of all kinds, at most; before connections were freed at once, one kind alone left gigabytes.
LEFT_MIB_MAX = 24
IDLE_KIB_MAX = 24
# NBD waits longest for a handshake: 30 s.
SILENCE_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """A daemon whose node 2 is any of us."""

    pid: int
    folder: Path
    port: int
    metrics_port: int

    def dial(self, endpoint: str) -> socket.socket:
        """Connect to an endpoint."""
        if endpoint in {"metrics", "links"}:
            port = self.metrics_port if endpoint == "metrics" else self.port
            return socket.create_connection(("127.0.0.1", port), 10)
        client = socket.socket(socket.AF_UNIX)
        # Blocking, for a Unix socket with a timeout does not wait for room in the backlog.
        client.connect(str(self.folder / endpoint))
        return client

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@contextlib.contextmanager
def daemon(clients_max: int) -> Iterator[Target]:
    """Run a daemon with every endpoint and a full disk."""
    with harness.temp_dir() as folder:
        port, metrics_port = free_port(), free_port()
        (folder / "cluster.toml").write_text(
            f'name = "bench"\n[[node]]\nnumber = 1\nname = "n1"\naddress = "127.0.0.1"\nport = {port}\n'
            f'[[node]]\nnumber = 2\nname = "n2"\naddress = "127.0.0.1"\nport = {free_port()}\n'
        )
        (folder / "ramsterd.toml").write_text(
            f'node = "n1"\ncluster = "cluster.toml"\nstate_dir = "state"\n[memory]\nbudget = "128MiB"\n'
            f'[nbd]\nsocket = "nbd"\nconnections_max = {clients_max}\n'
            f'[[export]]\nname = "disk"\nsize = {DISK_BYTES}\n'
            f'[tmem]\nsocket = "tmem"\nconnections_max = {clients_max}\n'
            '[control]\nsocket = "control"\n'
            f'[metrics]\nlisten = "127.0.0.1:{metrics_port}"\n[log]\nlevel = "error"\n'
        )
        command = [sys.executable, "-c", RAMSTERD, "run", "--config", "ramsterd.toml"]
        command[-1] = str(folder / "ramsterd.toml")
        with running(command, log=folder / "log") as process:
            target = Target(process.pid, folder, port, metrics_port)
            wait_until(lambda: answers(target), "the daemon answers")
            fill(target)
            yield target


def answers(target: Target) -> bool:
    """Whether the last endpoint to open is open."""
    try:
        target.dial("metrics").close()
    except OSError:
        return False
    return True


def fill(target: Target) -> None:
    """Write a disk of pages that take room when they are read."""
    page = bytes(range(256)) * (PAGE_BYTES // 256)
    with NbdClient.connect(target.folder / "nbd", "disk") as client:
        client.write_stream(0, [page * (MIB // PAGE_BYTES)] * (DISK_BYTES // MIB))


def status(target: Target) -> Any:
    """Ask the control socket."""
    with target.dial("control") as client:
        client.sendall(b'{"command": "status"}\n')
        with client.makefile("rb") as lines:
            return json.loads(lines.readline())["result"]


# Measuring.


def run(options: Options) -> None:
    """Print the tables."""
    count = CLIENTS_QUICK if options.is_quick else CLIENTS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 4 * count:
        raise harness.Skipped(f"needs {4 * count} file descriptors")
    try:
        with daemon(clients_max=count) as target:
            print_ends(target, count)
            for endpoint in ("nbd", "tmem"):
                print_idle(target, endpoint, count)
            if not options.is_quick:
                print_silent(target, count)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def print_ends(target: Target, count: int) -> None:
    """End `count` clients in each way, after some of each."""
    base = target.descriptors()
    for endpoint, ends in ENDS.items():
        for end in ends.values():
            end_clients(target, endpoint, end, WARM_UP, base)
    empty = rss_bytes(target.pid)
    # Whether the allocator gives one large reply back or keeps it is chance; clients that leave something pass the peak.
    peak = peak_bytes(target.pid)
    print(
        f"  RSS of the daemon, {WARM_UP} clients of each kind gone: {empty / MIB:.1f} MiB, peak {peak / MIB:.1f} MiB"
    )
    print(f"  left after {count:,} clients more, KiB")
    for endpoint, ends in ENDS.items():
        for name, end in ends.items():
            before = rss_bytes(target.pid)
            end_clients(target, endpoint, end, count, base)
            left = (rss_bytes(target.pid) - before) / 1024
            print(f"    {endpoint:8} {name:36} {left:10,.0f}", flush=True)
    grown = (rss_bytes(target.pid) - peak) / MIB
    kinds = sum(map(len, ENDS.values()))
    harness.print_figure(
        f"RSS beyond the peak after {kinds} kinds of {count:,} clients",
        grown,
        "MiB",
        at_most(LEFT_MIB_MAX, " MiB"),
    )


def end_clients(
    target: Target, endpoint: str, end: Callable[[socket.socket], None], count: int, base: int
) -> None:
    """One after the other, each when the daemon has none: of two at once the allocator keeps what both had."""
    for _ in range(count):
        with target.dial(endpoint) as client, contextlib.suppress(ConnectionError):
            end(client)
        wait_until(
            lambda: target.descriptors() <= base,
            f"a client of {endpoint} is gone",
            pause_seconds=0.001,
        )


def print_idle(target: Target, endpoint: str, count: int) -> None:
    """Connect, say hello, do one thing, and be idle."""
    base = target.descriptors()
    before = rss_bytes(target.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(target.dial(endpoint))
            if endpoint == "nbd":
                nbd_join(client)
                nbd_read(client)
            else:
                tmem_join(client)
        idle = (rss_bytes(target.pid) - before) / 1024 / count
    harness.print_figure(
        f"an idle client of {endpoint}", idle, "KiB", at_most(IDLE_KIB_MAX, " KiB")
    )
    wait_until(lambda: target.descriptors() <= base, "all idle clients are gone")


def print_silent(target: Target, count: int) -> None:
    """Silent clients at all endpoints at once, and those for whom they leave no place, until all are cut off."""
    base = target.descriptors()
    before = rss_bytes(target.pid)
    with contextlib.ExitStack() as stack:
        for endpoint in ENDS:
            for _ in range(count):
                stack.enter_context(target.dial(endpoint))
            if endpoint in {"nbd", "tmem"}:
                be_refused(target, endpoint, count)
        peak = (rss_bytes(target.pid) - before) / MIB
        refused = sum(status(target)[each]["refused_connections_total"] for each in ("nbd", "tmem"))
        # A control client has a minute, the others less.
        seconds_max = 2 * SILENCE_SECONDS_MAX
        wait_until(
            lambda: target.descriptors() <= base + 1, "all silent clients are gone", seconds_max
        )
    left = (rss_bytes(target.pid) - before) / 1024
    print(
        f"    silent at all {len(ENDS)} endpoints, {count:,} each, and {refused:,} refused: {peak:.1f} MiB while there,"
        f" {left:,.0f} KiB left"
    )


def be_refused(target: Target, endpoint: str, count: int) -> None:
    """Try in vain, while others have every place."""
    for _ in range(count):
        with target.dial(endpoint) as client:
            client.settimeout(1)
            read_to_end(client)


if __name__ == "__main__":
    harness.run_main({"client_ends": run}, __doc__)
