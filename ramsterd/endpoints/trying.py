"""Could the next start of a daemon that runs open its addresses?  Tried by another process; nothing listens there.

What the running daemon holds is not tried: it ends with its process, or is handed over.
"""

import errno
import ipaddress
import socket
from collections.abc import Collection, Mapping
from typing import Final

from config.endpoint import join_endpoint, split_endpoint
from config.machine import addresses_to_bind
from config.model import DaemonConfig, NodeConfig
from ramsterd.endpoints.bind_errors import explain, keys_of_endpoints

# What is opened at an address, as the start says it; links are TCP, and heartbeats UDP there.
_WHAT: Final = {"address": "links and heartbeat", "nbd.listen": "NBD", "metrics.listen": "metrics"}
_HANDED_OVER: Final = "nbd.listen"


def endpoints_of(daemon: DaemonConfig, node: NodeConfig) -> list[tuple[str, str]]:
    """Return where a daemon listens in the network, with the keys: what `why_taken` calls held."""
    return [
        (key, join_endpoint(address, port))
        for key, address, port in addresses_to_bind(daemon, node)
    ]


def why_taken(
    daemon: DaemonConfig, node: NodeConfig, held: Collection[tuple[str, str]]
) -> str | None:
    """Return in one line why a start would end for want of an address, or None.  Blocks, but not for long.

    Args:
        daemon: The file that the next start reads.
        node: Its entry in the cluster file.
        held: What the running daemon has (`endpoints_of`).
    """
    keys = keys_of_endpoints(daemon, node)
    for key, address, port in addresses_to_bind(daemon, node):
        if not any(_is_free_then(key, address, port, *each) for each in held):
            problem = _try_to_bind(key, address, port, keys)
            if problem is not None:
                return problem
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


def _try_to_bind(key: str, address: str, port: int, keys: Mapping[str, str]) -> str | None:
    kinds = [socket.SOCK_STREAM, *([socket.SOCK_DGRAM] if key == "address" else [])]
    for kind in kinds:
        try:
            _bind(address, port, kind)
        except OSError as error:
            # A low port may be allowed to the daemon and not to this process.
            if error.errno == errno.EACCES:
                continue
            error.filename = join_endpoint(address, port)
            return explain(error, _WHAT[key], keys)
    return None


def _bind(address: str, port: int, kind: socket.SocketKind) -> None:
    """Bind for a moment, as servers do; nobody can connect."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
