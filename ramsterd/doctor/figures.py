"""How much memory is right: for the daemon, for the kernel beside it, and for everything else.  Pure."""

from collections.abc import Iterable
from typing import Final

from config.machine import beside_budget_bytes
from config.units import UNIT_BYTES
from ramsterd.doctor.facts import Facts, Neighbour, unit_of

_MIB: Final = UNIT_BYTES["MiB"]

# vm.min_free_kbytes.  While pages are swapped out to peers, sockets take memory that the kernel has
# free; between its watermarks `low` and `min`, a quarter of this, kswapd frees and nobody waits.
# A quarter of 64 MiB is what four frames of 1 MiB ([remote] puts_in_flight_max) to each of four
# peers take.  A larger machine swaps faster: a 256th of its memory, as far as the kernel itself
# goes by its own rule (256 MiB, mm/page_alloc.c).  A small one can't spare more than an eighth.
MIN_FREE_BYTES: Final = 64 * _MIB
MIN_FREE_BYTES_MAX: Final = 256 * _MIB
MEMORY_PER_MIN_FREE: Final = 256
MEMORY_PER_MIN_FREE_MAX: Final = 8

# An attach helper, locked.
HELPER_BYTES: Final = 32 * _MIB
# Memory of the kernel that is charged to no cgroup: 18 MiB in a guest of 512 MiB (slabs, page
# tables, stacks), and some for each page and each device of a larger one.
KERNEL_BYTES: Final = 16 * _MIB
MEMORY_PER_KERNEL: Final = 64

# A cgroup without a limit at the top that is no slice, such as init.scope: it counts by what it uses
# now.
SMALL_BYTES: Final = 64 * _MIB
# What is proposed for a slice goes by what it uses now, and by a 16th of what there is, so that one
# that is idle now has room for a login.
LEFT_PER_IDLE: Final = 16


def needed_bytes(facts: Facts) -> int:
    """Return what the daemon may come to use: budget, tables and process."""
    budget = max(
        int(facts.daemon.memory.budget), facts.running.budget_bytes if facts.running else 0
    )
    return budget + beside_budget_bytes(facts.daemon)


def min_free_bytes(memory_bytes: int) -> int:
    """Return the least that vm.min_free_kbytes should be on a machine that swaps to itself, whole MiB."""
    wanted = min(max(MIN_FREE_BYTES, memory_bytes // MEMORY_PER_MIN_FREE), MIN_FREE_BYTES_MAX)
    return min(wanted, memory_bytes // MEMORY_PER_MIN_FREE_MAX) // _MIB * _MIB


def others_bytes_max(facts: Facts) -> int:
    """Return how much everything but the daemon, its helpers and the kernel may have together."""
    memory = facts.kernel.memory_bytes
    reserved = max(facts.kernel.min_free_bytes, min_free_bytes(memory))
    helpers = HELPER_BYTES * max(1, sum(each.is_ours for each in facts.devices))
    kernel = KERNEL_BYTES + memory // MEMORY_PER_KERNEL
    return max(0, memory - needed_bytes(facts) - reserved - helpers - kernel)


def is_ramsters(neighbour: Neighbour) -> bool:
    """Whether it is a unit of ours, such as that of an attach helper."""
    return unit_of(neighbour.name).startswith("ramster")


def is_unbounded(neighbour: Neighbour) -> bool:
    """Whether a neighbour could fill the memory of the machine."""
    if neighbour.bytes_max is not None or is_ramsters(neighbour):
        return False
    is_small = neighbour.used_bytes <= SMALL_BYTES and not neighbour.name.endswith(".slice")
    # Inside a slice there are services, which may grow.
    return not (is_small and neighbour.name.count("/") == 1)


def bytes_of(neighbour: Neighbour) -> int:
    """Return what a neighbour may use, or uses if it is small and has no limit."""
    return neighbour.used_bytes if neighbour.bytes_max is None else neighbour.bytes_max


def proposed_limits(
    neighbours: Iterable[Neighbour], left_bytes: int
) -> list[tuple[Neighbour, int]]:
    """Return a limit for each neighbour, whole MiB, so that all of them together have what is left."""
    them = list(neighbours)
    weights = [each.used_bytes + left_bytes // LEFT_PER_IDLE for each in them]
    whole = sum(weights) or 1
    return [
        (each, left_bytes * weight // whole // _MIB * _MIB)
        for each, weight in zip(them, weights, strict=True)
    ]
