"""Which addresses the host of a member has: the seam where the daemon puts its lookups, and tests theirs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

# Returns the addresses of a host in the order in which to try them, within a bounded time, or
# raises PeerLost.  The addresses of an IP literal are itself, at once.
Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]


async def as_written(host: str) -> Sequence[str]:
    """Serve members that are written as IP addresses."""
    return (host,)
