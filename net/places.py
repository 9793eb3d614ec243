"""Who has knocked and not said yet who they are: how many at a time, and who gives way.  Pure.

A stranger may open as many connections as it likes and say nothing.  So a newcomer is never turned away: when
all places are taken, the source with the most of them loses its oldest.  A member of the cluster greets within
milliseconds, from an address of its own, so whoever floods us displaces itself.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Final

# An IPv6 host commands at least this network (RFC 6177), so it counts as one source.
IPV6_SOURCE_BITS: Final = 64


@dataclass(eq=False, slots=True)
class Greeting:
    """One connection that has not greeted."""

    # Where it comes from, as the log shows it.
    where: str
    source: str


class Greetings:
    """The connections that have not greeted, oldest first."""

    def __init__(self, places_max: int) -> None:
        assert places_max > 0
        self._places_max = places_max
        self._waiting: dict[Greeting, None] = {}
        self.displaced_total = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._waiting)

    def begin(self, where: str) -> tuple[Greeting, Greeting | None]:
        """Give a newcomer a place; return it, and who gave way for it and is to be closed."""
        displaced = self._most_frequent() if len(self._waiting) >= self._places_max else None
        if displaced is not None:
            del self._waiting[displaced]
            self.displaced_total += 1
        greeting = Greeting(where, source_of(where))
        self._waiting[greeting] = None
        return greeting, displaced

    def end(self, greeting: Greeting) -> bool:
        """Take a place back: it has greeted, or is gone.  Return whether it still had one."""
        if greeting not in self._waiting:
            return False
        del self._waiting[greeting]
        return True

    def _most_frequent(self) -> Greeting:
        counts = Counter(greeting.source for greeting in self._waiting)
        # Of several that have as many, `max` takes the first, which is the one with the oldest place.
        most = max(counts, key=counts.__getitem__)
        return next(greeting for greeting in self._waiting if greeting.source == most)


def source_of(where: str) -> str:
    """Return what all connections of one host have in common, from `ADDRESS port PORT`."""
    text = where.partition(" ")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return where
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_SOURCE_BITS), strict=False))
    return str(address)
