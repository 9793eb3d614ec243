"""What the system knows of addresses: socket addresses of literals, and the addresses that a host name has.

Of a literal everything is known here, at once.  `look_up` may block for as long as the resolver of
the system likes: a daemon calls it in a thread, with a bound (`ramsterd.host.lookups`).
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TypeAlias

from config.endpoint import LOCALHOST, alternate, join_endpoint, parse_host
from config.limits import NODES_MAX

# What the socket library takes: address, port, and for IPv6 flow and zone.
SocketAddress: TypeAlias = tuple[Any, ...]
# Why an address can't be bound that is another machine's, or of a family that this one has not.
NOT_OURS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
# More addresses of one name are not tried.
ADDRESSES_MAX: Final = 8
# How many socket addresses are kept, once they are found; more than a cluster has nodes.
ENDPOINTS_KNOWN_MAX: Final = 1024
assert NODES_MAX < ENDPOINTS_KNOWN_MAX


class NameNotFound(OSError):
    """A host name has no address that can be used here; says so in one line."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(None, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"the name {self.host} has no address here: {self.reason}"


def socket_address(address: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """Return family and socket address of an IP literal; never looks anything up.

    Raises:
        OSError: Its zone is no interface of this machine.
    """
    # Interfaces come and go, so a zone is looked at each time.
    return (_socket_address if "%" in address else _known_socket_address)(address, port)


def _socket_address(address: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    try:
        ((family, _, _, _, where), *_) = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror as error:
        zone = address.partition("%")[2]
        reason = f"this machine has no interface {zone}" if zone else str(error.strerror)
        raise OSError(None, reason) from None
    return family, where


# Heartbeats ask for one each time, and to find it takes longer than to send them.
_known_socket_address: Final = lru_cache(ENDPOINTS_KNOWN_MAX)(_socket_address)


@contextmanager
def named_after(host: str, port: int) -> Iterator[None]:
    """Have an error of the block name the place as a file of ours does: by itself it does not say which port is taken."""
    try:
        yield
    except OSError as error:
        error.filename = join_endpoint(host, port)
        raise


def address_text(where: SocketAddress) -> str:
    """Return the address of a socket address as people write it: with its zone, if it has one."""
    address, _, *flow_and_scope = where
    scope = flow_and_scope[-1] if flow_and_scope else 0
    if not scope:
        return str(address)
    try:
        return f"{address}%{socket.if_indextoname(scope)}"
    except OSError:  # the interface has just gone
        return f"{address}%{scope}"


def look_up(host: str) -> tuple[str, ...]:
    """Return the addresses of a name in the order in which to try them.  Blocks.

    `localhost` is this machine, whatever a resolver says: what is meant for it must not leave.

    Raises:
        NameNotFound: There is none.
    """
    is_localhost = parse_host(host) == LOCALHOST
    try:
        # Of this one no other spelling need be known to the system.
        name = LOCALHOST if is_localhost else host
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NameNotFound(host, str(reason)) from None
    addresses = [address_text(where) for *_, where in found]
    usable = [each for each in addresses if _is_usable(each)]
    if is_localhost:
        usable = [each for each in usable if ipaddress.ip_address(each).is_loopback]
    if not usable:
        raise NameNotFound(host, f"found only {', '.join(addresses)}")
    return alternate(usable)[:ADDRESSES_MAX]


def _is_usable(text: str) -> bool:
    """Whether an address is one machine's, and its interface is known if it needs one."""
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return not address.is_link_local or address.scope_id is not None
    return True
