"""How many file descriptors this process may have, and how many of them are kept back for links and control.

The kernel gives a new descriptor the lowest number that is free (open(2)).  So an accepted socket
with the number n says that at least n others are open, and a bound on the number keeps the rest
back by itself, without a count: what the NBD and tmem servers accept from that number on they close
again, while links, `ramsterctl`, the metrics port and the files of the daemon take whatever is
free.
"""

import os
import resource
from dataclasses import dataclass
from typing import Final

from ramsterd.endpoints.statistics import DescriptorStatistics

# Half of what there is, and no more than links to 512 members, 64 that have not greeted, clients of
# the control socket and the metrics port, and a few hundred files will ever take.
RESERVED_MAX: Final = 1024
STDERR: Final = 2
# Where the system sets no limit: its own default for one process (fs.nr_open of proc(5)).
UNLIMITED: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The limit of this process."""

    limit: int = UNLIMITED

    @property
    def reserved(self) -> int:
        """How many no front end client gets."""
        return min(self.limit // 2, RESERVED_MAX)

    @property
    def clients_max(self) -> int:
        """How many front end clients may have, all together, less what the daemon itself has open."""
        return self.limit - self.reserved

    def is_reserved(self, descriptor: int) -> bool:
        """Whether this one was taken from those that are kept back."""
        return descriptor >= self.clients_max


# For those who serve where nobody counts descriptors.
NO_LIMIT: Final = Descriptors()


def raise_limit() -> Descriptors:
    """Raise the soft limit to the hard one, and return what we have then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox, or a hard limit above what the kernel gives now
            hard = soft
    return Descriptors(UNLIMITED if hard == resource.RLIM_INFINITY else hard)


def statistics_of(descriptors: Descriptors) -> DescriptorStatistics:
    """Return a snapshot."""
    return DescriptorStatistics(
        limit=descriptors.limit,
        reserved=descriptors.reserved,
        lowest_free=_lowest_free(descriptors.limit),
    )


def _lowest_free(limit: int) -> int:
    """Return the number that the next descriptor will have; the limit if there is none."""
    try:
        # Standard error is always there, and to duplicate it needs no memory.
        descriptor = os.dup(STDERR)
    except OSError:
        return limit
    os.close(descriptor)
    return descriptor
