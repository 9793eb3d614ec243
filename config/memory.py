"""How much memory there is for a process, and who says so.  Read by `config.host`, judged by `config.machine`."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBound:
    """One bound on the memory of this process."""

    limit_bytes: int
    # As a sentence names it: "the memory of this machine", "memory.max of cgroup /system.slice".
    name: str
    # Beyond it the kernel ends this very process; beyond the others all get slower, or somebody is
    # ended.
    is_fatal: bool = False


def tightest(bounds: Iterable[MemoryBound]) -> MemoryBound:
    """Return the bound that is reached first; of equals one that is fatal.  There must be one."""
    return min(bounds, key=lambda bound: (bound.limit_bytes, not bound.is_fatal))
