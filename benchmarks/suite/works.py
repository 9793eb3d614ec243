"""What the suite measures: a scene has servers that are ready, and works whose contestants take turns.

A scene is a context manager: while it is open its servers run.  It yields its works; each contestant of a work is a
function that measures once, for some seconds.  Who takes turns with whom, and how often, is not decided here.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.processes import processor_seconds

# The contestant that revisions are compared by.
OURS = "ramster"
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """How a scene is made: small, to show that it runs; without the servers that we are compared with."""

    is_quick: bool = False
    with_peers: bool = True

    def size(self, usual: int) -> int:
        """Return the bytes of an export, or a count of pages."""
        return usual // 16 if self.is_quick else usual


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure, and the microseconds of processor time that each process took for a page meanwhile."""

    value: float
    processor_us: dict[str, float] = field(default_factory=dict)


Measure = Callable[[float], Measured]


@dataclass(frozen=True, slots=True)
class Work:
    """Something that several can do.  `seconds`: how long one measurement lasts."""

    name: str
    unit: str
    contestants: Mapping[str, Measure]
    seconds: float = 1.0


Scene = Callable[[Setting], AbstractContextManager[Sequence[Work]]]


def is_more_better(unit: str) -> bool:
    """Whether a larger figure of this unit is a faster one: throughput is, times are not."""
    return unit in {"iops", "MiB/s"}


class ProcessorTime:
    """What processes take of the processors from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = {name: processor_seconds(pid) for name, pid in pids.items()}

    def per_page(self, pages: float) -> dict[str, float]:
        """Return the microseconds of each for one of so many pages."""
        return {
            name: (processor_seconds(pid) - self._before[name]) / pages * 1e6
            for name, pid in self._pids.items()
        }
