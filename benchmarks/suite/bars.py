"""The bars of the suite: each figure that is aimed at stands here, once.

A scene's work is judged by the median of its rounds: beside the median of a contestant of the same rounds, or alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.harness import Bar, at_least, at_most


@dataclass(frozen=True, slots=True)
class RowBar:
    """What a work should reach: by its ratio to a peer, by how much it is over a peer, or by its own figure."""

    by: Literal["ratio", "difference", "figure"]
    peer: str
    bar: Bar

    def figure(self, medians: Mapping[str, float], ours: str) -> float | None:
        """Return what the bar judges, or None if the peer was not measured."""
        if self.by == "figure":
            return medians[ours]
        if self.peer not in medians:
            return None
        if self.by == "difference":
            return medians[ours] - medians[self.peer]
        return medians[ours] / medians[self.peer]


def to(peer: str, bar: Bar) -> RowBar:
    """A ratio."""
    return RowBar("ratio", peer, bar)


def over(peer: str, bar: Bar) -> RowBar:
    """A difference."""
    return RowBar("difference", peer, bar)


def alone(bar: Bar) -> RowBar:
    """A figure."""
    return RowBar("figure", "", bar)


# Peers.
MEMORY, ZSTD, TCP = "nbdkit memory", "nbdkit zstd", "nbdkit over TCP"
BARE, ROUND_TRIP, WIRE, STREAM = "bare lz4", "bare round trip", "wire", "bare TCP stream"
# Daemons of ours, as peers.
LOCAL, PLAIN = "all local", "without TLS"
# Our store, and our passes without compiled loops.
STORE, PYTHON = "store", "without compiled loops"

# By scene and work.
BARS: dict[str, dict[str, tuple[RowBar, ...]]] = {
    "store": {
        f"{work}, runs of 32, {pages}": (over(BARE, at_most(value, " us")),)
        for pages in ("real files", "fio's pages")
        for work, value in (("put", 0.6), ("get", 0.4))
    },
    # The one of READs decides whether the compiled loops are worth it (docs/design/0022); else what was reached.
    "nbd_passes": {
        "WRITE of 4 KiB, 32 at a time": (to(STORE, at_most(1.25)), to(PYTHON, at_most(0.67))),
        "WRITE of 4 KiB, 1 at a time": (to(STORE, at_most(2.5)), to(PYTHON, at_most(1))),
        "READ of 4 KiB, 32 at a time": (to(STORE, at_most(1.1)), to(PYTHON, at_most(0.55))),
        "READ of 4 KiB, 1 at a time": (to(STORE, at_most(4.5)), to(PYTHON, at_most(1))),
    },
    "nbd_local": {
        "4k randwrite depth 32": (to(MEMORY, at_least(0.8)), to(ZSTD, at_least(12))),
        "4k randread depth 32": (to(MEMORY, at_least(1.0)), to(ZSTD, at_least(1.6))),
        "4k randwrite depth 1": (to(MEMORY, at_most(1.0)),),
        "4k randread depth 1": (to(MEMORY, at_most(0.9)),),
        "128k write depth 4": (to(MEMORY, at_least(0.3)),),
        "128k read depth 4": (to(MEMORY, at_least(0.6)),),
    },
    "nbd_remote": {
        "4k randread depth 32": (to(TCP, at_least(0.6)),),
        "4k randwrite depth 32": (to(TCP, at_least(0.6)),),
        "remote fetch, depth 1": (to(ROUND_TRIP, at_most(1.8)),),
    },
    # Two peers, two copies, and four times as many pages as the budget holds.
    "swap": {
        "swap mix depth 1": (to(TCP, at_least(0.4)),),
        "swap mix depth 16": (to(TCP, at_least(0.3)),),
        "swap mix depth 1, all local": (to(MEMORY, at_least(0.8)),),
        "swap mix depth 16, all local": (to(MEMORY, at_least(0.5)),),
        "writes beyond the budget": (to(LOCAL, at_least(0.5)),),
        "writes beyond the budget, p99 by p50": (alone(at_most(20)),),
    },
    "link": {
        "128k write depth 8": (to(WIRE, at_least(2)),),
        "128k read depth 8": (to(WIRE, at_least(2.3)),),
    },
    "far": {
        "128k read depth 4, round trip 1 ms": (alone(at_least(400, " MiB/s")),),
        "128k read depth 4, round trip 5 ms": (alone(at_least(300, " MiB/s")),),
        "128k read depth 4, round trip 25 ms": (alone(at_least(200, " MiB/s")),),
    },
}
