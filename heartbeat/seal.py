"""The MAC of a datagram, and the window that tells a replay.  Pure.

A MAC is 16 bytes of keyed BLAKE2b over all that stands before it.  Sender, target, incarnation and
counter are among that, so a datagram recorded on its way to one node is worth nothing at another,
and nothing in a later incarnation of its sender.  Without a key there is no MAC: `heartbeat.udp`
allows that on loopback or when told to.
"""

import hashlib
import hmac
from typing import Final

from heartbeat.datagram import MESSAGE_BYTES_MAX, BadDatagram
from nodemanager.ids import Incarnation

KEY_BYTES: Final = 32
MAC_BYTES: Final = 16
DATAGRAM_BYTES_MAX: Final = MESSAGE_BYTES_MAX + MAC_BYTES
# IPv6 guarantees 1280 bytes a packet (RFC 8200): with both heads we are never fragmented.
assert DATAGRAM_BYTES_MAX <= 1280 - 40 - 8
_PERSON: Final = b"ramster swim 2"
# Datagrams to all targets share one counter, so few of a window reach one node; UDP reorders by
# less.
WINDOW_DATAGRAMS: Final = 1024


class BadMac(BadDatagram):
    """The MAC is not what our key makes it."""


class Seal:
    """Closes and opens datagrams with one key, or leaves them as they are without.

    While a cluster changes its key, datagrams closed with the one before are opened, too.
    """

    def __init__(self, key: bytes | None, *, previous: bytes | None = None) -> None:
        assert key is None or len(key) == KEY_BYTES
        assert previous is None or key is not None, "who had a key goes on with one"
        self._key = key
        self._previous = previous

    def close(self, data: bytes) -> bytes:
        """Return the datagram with its MAC."""
        return data if self._key is None else data + _mac(data, self._key)

    def open(self, data: bytes) -> bytes:
        """Return the datagram without its MAC, or raise BadMac."""
        if self._key is None:
            return data
        body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        for key in (self._key, self._previous):
            if key is not None and hmac.compare_digest(mac, _mac(body, key)):
                return body
        raise BadMac("it is not signed with our heartbeat_key")

    def changed_to(self, key: bytes) -> "Seal":
        """Return a seal that closes with this key and opens what the present one closes.

        Itself if it is the same.
        """
        assert self._key is not None, "datagrams without a MAC would go on being opened"
        return self if key == self._key else Seal(key, previous=self._key)

    def without_previous(self) -> "Seal":
        """Return a seal that opens nothing but what it closes."""
        return Seal(self._key)


def _mac(data: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=MAC_BYTES, person=_PERSON).digest()


class ReplayWindow:
    """Lets each counter of an incarnation pass once, if it is not too old.

    A newer incarnation begins anew.
    """

    def __init__(self) -> None:
        self._incarnation: Incarnation | None = None
        self._highest = 0
        self._seen = 0  # bit n: highest - n passed

    def is_stale(self, incarnation: Incarnation) -> bool:
        """Whether this incarnation has ended."""
        return self._incarnation is not None and incarnation < self._incarnation

    def admit(self, incarnation: Incarnation, counter: int) -> bool:
        """Return whether this is new, and remember it."""
        if self.is_stale(incarnation):
            return False
        if incarnation != self._incarnation:
            self._incarnation, self._highest, self._seen = incarnation, counter, 1
            return True
        ahead = counter - self._highest
        if ahead > 0:
            # A jump may be as far as 64 bits go: never shift by more than the window.
            kept = self._seen << ahead if ahead < WINDOW_DATAGRAMS else 0
            self._seen = (kept | 1) & ((1 << WINDOW_DATAGRAMS) - 1)
            self._highest = counter
            return True
        if -ahead >= WINDOW_DATAGRAMS or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True
