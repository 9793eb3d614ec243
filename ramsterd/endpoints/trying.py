"""Could the next start of a daemon that runs open its addresses?  Tried by another process; nothing listens there.

What the running daemon holds is not tried: it ends with its process, or is handed over.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Final

from config.endpoint import join_endpoint, parse_host, split_endpoint
from config.lookup import NOT_OURS, NameNotFound, socket_address
from config.machine import addresses_to_bind
from config.model import DaemonConfig, NodeConfig
from ramsterd.endpoints.bind_errors import explain, keys_of_endpoints
from ramsterd.host.lookups import find_now

# What is opened at an address, as the start says it; links are TCP, and heartbeats UDP there.
_WHAT: Final = {"address": "links and heartbeat", "nbd.listen": "NBD", "metrics.listen": "metrics"}
_HANDED_OVER: Final = "nbd.listen"


def endpoints_of(
    daemon: DaemonConfig, node: NodeConfig, links: Sequence[tuple[str, int]]
) -> list[tuple[str, str]]:
    """Return where a daemon listens in the network, with the keys: what `why_taken` calls held.

    `links` is where it does for links: it may have moved since it read its files.
    """
    (key, *_), *others = addresses_to_bind(daemon, node)
    places = [(key, *place) for place in links] + others
    return [(key, join_endpoint(address, port)) for key, address, port in places]


def why_taken(
    daemon: DaemonConfig,
    node: NodeConfig,
    held: Collection[tuple[str, str]],
    find: Callable[[str], tuple[str, ...]] = find_now,
) -> str | None:
    """Return in one line why a start would end for want of an address, or None.  Blocks, but not for long.

    Args:
        daemon: The file that the next start reads.
        node: Its entry in the cluster file.
        held: What the running daemon has (`endpoints_of`).
        find: Returns the addresses of a host name, or raises NameNotFound.
    """
    keys = keys_of_endpoints(daemon, node)
    for key, host, port in addresses_to_bind(daemon, node):
        try:
            addresses = find(host) if isinstance(parse_host(host), str) else (host,)
        except NameNotFound as error:
            error.filename = join_endpoint(host, port)
            return explain(error, _WHAT[key], keys)
        problems = [_try_to_bind(key, address, port, held) for address in addresses]
        # As the daemon does: addresses of other machines don't matter, as long as one is ours.
        fatal = [each for each in problems if each is not None and each.errno not in NOT_OURS]
        if not fatal and None not in problems:
            fatal = [each for each in problems if each is not None]
        if fatal:
            fatal[0].filename = join_endpoint(host, port)
            return explain(fatal[0], _WHAT[key], keys)
    return None


def _is_free_then(key: str, address: str, port: int, held_by: str, endpoint: str) -> bool:
    """Return whether what the running daemon holds leaves room for one of these once its process has ended.

    A socket that is handed over is open until all others are, too.
    """
    held_address, held_port = split_endpoint(endpoint)
    if port != held_port or (held_by == _HANDED_OVER and key != _HANDED_OVER):
        return False
    ours, theirs = ipaddress.ip_address(address), ipaddress.ip_address(held_address)
    return ours == theirs or ours.is_unspecified or theirs.is_unspecified


def _try_to_bind(
    key: str, address: str, port: int, held: Collection[tuple[str, str]]
) -> OSError | None:
    """Return why an address could not be bound by the next start; None: it could."""
    if any(_is_free_then(key, address, port, *each) for each in held):
        return None
    kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if key == "address" else [])]
    for kind in kinds:
        try:
            _bind(address, port, kind)
        except OSError as error:
            # A low port may be allowed to the daemon and not to this process.
            if error.errno != errno.EACCES:
                return error
    return None


def _bind(address: str, port: int, kind: socket.SocketKind) -> None:
    """Bind for a moment, as servers do; nobody can connect."""
    family, where = socket_address(address, port)
    with socket.socket(family, kind) as sock:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
