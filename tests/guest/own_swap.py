"""A guest that swaps to its own ramsterd, while a program fills more than its memory: one run, and what came of it.

    python -m tests.guest.own_swap [--mebibytes 256] [--without lock] [--runs 1]

The peer is on the host, reached over QEMU's own network, both ways.  What protects the daemon are the precautions below, set
up by `ramsterctl doctor --apply`, as the units do it; each of them can be taken away.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.guest.machine import HOST_ADDRESS, Guest
from tests.guest.own_disk import GUEST_ADDRESS, devices, make_disk, make_initramfs
from tests.system.daemons import Cluster

# What the program fills beyond all memory of the guest, and for how long it goes on with that.
BEYOND_MEBIBYTES: Final = 100
SECONDS: Final = 120
ROUNDS: Final = 2
RUN_SECONDS_MAX: Final = 1500.0
# A guest under emulation is slow, and slower still while it swaps: nobody is to be given up for that.
_TIMERS: Final = (
    "keepalive_seconds = 5\nidle_seconds = 120\nprobe_seconds = 10\nprobe_timeout_seconds = 5\n"
)


@dataclass(frozen=True, slots=True)
class Lack:
    """A precaution that is taken away: words for init, which says at its top what there is, and a line of [memory]."""

    words: str = ""
    memory: str = ""


PRECAUTIONS: Final = {
    "others-bounded": Lack(words="ramster.lack=others-bounded"),
    "memory-lock": Lack(words="ramster.lack=memory-lock", memory='lock = "no"'),
    "io-flusher": Lack(words="ramster.lack=io-flusher ramster.flusher=0"),
    "reserve": Lack(words="ramster.lack=reserve", memory='reserve = "64KiB"'),
    "oom-score": Lack(words="ramster.lack=oom-score ramster.oom=0"),
    "memory-min": Lack(words="ramster.lack=memory-min"),
    "min-free": Lack(words="ramster.lack=min-free"),
    "watermark-boost": Lack(words="ramster.lack=watermark-boost"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    said: str
    rounds: int

    @property
    def is_right(self) -> bool:
        """Whether the program found all its pages in each round, nothing waited for 20 s, and swap went off again.

        And whether the device was refused before all was set up.
        """
        return (
            self.said.count("guest: eater ended with 0") == self.rounds
            and self.said.count("guest: swap is off") == self.rounds
            and "guest: over" in self.said
            and "guest: attach ended with 78" in self.said
            and not self.complaint
        )

    @property
    def complaint(self) -> str:
        """What the kernel said first that it says of no good run."""
        found = re.search(
            r"blocked for more than|Kernel panic|Out of memory|oom-kill|-error on swap-device"
            r"|Other side returned error|WRONG",
            self.said,
        )
        return found[0] if found else ""

    @property
    def worst_milliseconds(self) -> int:
        """The longest wait for a page."""
        return max((int(each) for each in re.findall(r"worst (\d+) ms", self.said)), default=0)

    @property
    def swapped_out_mebibytes(self) -> int:
        return (
            max((int(each) for each in re.findall(r"pswpout (\d+)", self.said)), default=0) // 256
        )

    @property
    def major_faults(self) -> int:
        """Of the daemon, while the guest swapped."""
        found = [int(each) for each in re.findall(r"guest: majflt (\d+)", self.said)]
        return found[-1] - found[0] if found else 0

    @property
    def seconds(self) -> int:
        """For how long the program said that it lives."""
        return max((int(each) for each in re.findall(r"alive (\d+) s", self.said)), default=0)

    def __str__(self) -> str:
        verdict = "all pages right" if self.is_right else self.complaint or "did not end in time"
        return (
            f"{self.seconds:>6} s {self.swapped_out_mebibytes:>7,} MiB out {self.worst_milliseconds:>7,} ms"
            f" {self.major_faults:>5} major faults  {verdict}"
        )


def run_own_swap(
    boot: Callable[..., Guest],
    cluster: Cluster,
    folder: Path,
    *,
    mebibytes: int,
    lack: Lack | None = None,
    seconds: int = SECONDS,
    rounds: int = ROUNDS,
) -> Outcome:
    """Boot a guest of so much memory, which is node 1 of a cluster of two, and wait for its end.

    Args:
        boot: `Guest`, with a name for its console.
        cluster: Made by `own_cluster`; not started.
        folder: For the disk and the initramfs.
        mebibytes: Of the guest.
        lack: A precaution that it does without.
        seconds: For so long the program goes through its memory, at least.
        rounds: Swap goes off and on again between them.
    """
    lack = lack or Lack()
    disk = folder / "disk"
    make_disk(disk)
    image = make_initramfs(folder / "initramfs.gz", _move_in(cluster, lack.memory))
    cluster[2].start()
    cluster[2].wait_ready()
    settings = {
        "mebibytes": mebibytes + BEYOND_MEBIBYTES,
        "seconds": seconds,
        "rounds": rounds,
    }
    words = " ".join(f"ramster.{name}={value}" for name, value in settings.items())
    guest = boot(image, f"{words} {lack.words}", devices(disk, cluster[1]), mebibytes=mebibytes)
    said = guest.wait_end(seconds_max=RUN_SECONDS_MAX)
    return Outcome(said, rounds)


def own_cluster(make: Callable[..., Cluster], mebibytes: int) -> Cluster:
    """Return a cluster whose first node has a 16th of a guest for pages, and an export of three times its memory."""
    budgets = [f"{_budget_mebibytes(mebibytes)}MiB", "1GiB"]
    return make(budgets=budgets, export=f"{mebibytes * 3}MiB", copies=1)


def _budget_mebibytes(mebibytes: int) -> int:
    return max(mebibytes // 16, 12)


def _move_in(cluster: Cluster, memory: str) -> dict[str, str]:
    """Return the files of node 1 as the guest has them; node 2 is its peer, here."""
    node = cluster[1]
    members = node.config.with_name("cluster.toml")
    head, nodes = members.read_text().split("[timers]")
    nodes = "[[node]]" + nodes.partition("[[node]]")[2]
    members.write_text(f"{head}insecure_plaintext = true\n[timers]\n{_TIMERS}{nodes}")
    ours, peer = members.read_text().split("number = 2")
    text = node.config.read_text()
    # Requests, too, have the time that they have by default.
    text = re.sub(r"^(request|fetch|put_wait)_seconds_max = .*\n", "", text, flags=re.MULTILINE)
    for here, there in (
        (str(node.nbd), "/run/ramster/nbd.sock"),
        (str(node.control), "/run/ramster/control.sock"),
        ('"n1-state"', '"/var/lib/ramster"'),
        ("[memory]\n", f"[memory]\n{memory}\n"),
        ("[[export]]\n", "[[export]]\nswap = true\n"),
    ):
        text = text.replace(here, there)
    return {
        "ramsterd.toml": text,
        "cluster.toml": ours.replace("127.0.0.1", GUEST_ADDRESS)
        + "number = 2"
        + peer.replace("127.0.0.1", HOST_ADDRESS),
    }


def _run_alone(mebibytes: int, lack: Lack | None, seconds: int, rounds: int) -> Outcome:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="own-swap-")))
        sockets = folder / "s"
        sockets.mkdir()
        cluster = own_cluster(lambda **options: Cluster(folder, sockets, **options), mebibytes)
        stack.callback(cluster.close)
        guests: list[Guest] = []

        def boot(*arguments: object, **more: int) -> Guest:
            image, *rest = arguments
            guests.append(Guest(image, folder / "console", *rest, **more))  # type: ignore[arg-type]  # handed on
            stack.callback(guests[-1].end)
            return guests[-1]

        try:
            return run_own_swap(
                boot,
                cluster,
                folder,
                mebibytes=mebibytes,
                lack=lack,
                seconds=seconds,
                rounds=rounds,
            )
        except subprocess.TimeoutExpired:
            return Outcome(guests[-1].said, rounds)


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest.own_swap", description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=256, help="memory of the guest")
    parser.add_argument("--without", choices=PRECAUTIONS, help="a precaution that is taken away")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="swap goes off and on between")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of a round, at least")
    parser.add_argument("--console", type=Path, help="a file for what the guests say")
    asked = parser.parse_args()
    # Also then nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for _ in range(asked.runs):
        lack = PRECAUTIONS[asked.without] if asked.without else None
        outcome = _run_alone(asked.mebibytes, lack, asked.seconds, asked.rounds)
        print(f"{asked.mebibytes:>5} MiB  {asked.without or '-':16} {outcome}", flush=True)
        if asked.console:
            asked.console.write_text(outcome.said)


if __name__ == "__main__":
    main()
