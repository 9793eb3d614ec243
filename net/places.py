"""A bounded number of places for connections that may mean nothing: who gives way for a newcomer.  Pure.

Anybody who reaches the port may open as many connections as it likes and send nothing.  So a
newcomer is never turned away: when all places are taken, the source with the most of them loses its
oldest.  A source that floods us so displaces itself: a member of the cluster greets within
milliseconds, an operator's command is answered as soon, and both come from an address, or as a
user, of their own.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Final

# An IPv6 host commands at least this network (RFC 6177), so it counts as one source.
IPV6_SOURCE_BITS: Final = 64


@dataclass(eq=False, slots=True)
class Place:
    """One connection's place."""

    # Where it comes from, as the log shows it.
    where: str
    source: str


class Places:
    """The connections that have a place, oldest first."""

    def __init__(self, places_max: int) -> None:
        assert places_max > 0
        self._places_max = places_max
        self._taken: dict[Place, None] = {}
        self.displaced_total = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._taken)

    def begin(self, where: str) -> tuple[Place, Place | None]:
        """Give a newcomer a place; return it, and who gave way for it and is to be closed."""
        displaced = self._most_frequent() if len(self._taken) >= self._places_max else None
        if displaced is not None:
            del self._taken[displaced]
            self.displaced_total += 1
        place = Place(where, source_of(where))
        self._taken[place] = None
        return place, displaced

    def end(self, place: Place) -> bool:
        """Take a place back: it is not needed any more.  Return whether the connection still had it."""
        if place not in self._taken:
            return False
        del self._taken[place]
        return True

    def renew(self, place: Place) -> None:
        """A connection has said something sensible: it is as good as new."""
        if place in self._taken:
            del self._taken[place]
            self._taken[place] = None

    def _most_frequent(self) -> Place:
        counts = Counter(place.source for place in self._taken)
        # Of several that have as many, `max` takes the first, which is the one with the oldest
        # place.
        most = max(counts, key=counts.__getitem__)
        return next(place for place in self._taken if place.source == most)


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
