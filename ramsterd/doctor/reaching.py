"""Reach other nodes: resolve their addresses, connect to their ports.  A shell.

A connection is closed as soon as it is there, so the other side logs one that said nothing; where
there is a link nobody tries.
"""

import errno
import os
import socket
from typing import Final

import trio

from config.model import NodeConfig
from ramsterd.doctor.surroundings import Reach

CONNECT_SECONDS_MAX: Final = 2.0
RESOLVE_SECONDS_MAX: Final = 5.0


async def resolve(node: NodeConfig) -> tuple[str, str]:
    """Return the address of a node as numbers, or else an empty text and why there is none."""
    with trio.move_on_after(RESOLVE_SECONDS_MAX):
        try:
            found = await trio.socket.getaddrinfo(node.address, node.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return "", (error.strerror or str(error)).lower()
        *_, (address, *rest) = found[0]
        # A link-local address means something together with its interface only.
        zone = rest[2] if len(rest) > 2 else 0  # noqa: PLR2004  port, flow, zone
        assert isinstance(address, str), "of an IP socket"
        assert isinstance(zone, int), "likewise"
        return (f"{address}%{zone}" if zone and "%" not in address else address), ""
    return "", f"no answer of the name server within {RESOLVE_SECONDS_MAX:g} s"


async def connect(address: str, port: int) -> tuple[Reach, str]:
    """Return what becomes of a connection, and what the kernel says if there is none."""
    try:
        found = await trio.socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        family, kind, protocol, _, where = found[0]
        with trio.socket.socket(family, kind, protocol) as sock, trio.move_on_after(CONNECT_SECONDS_MAX):  # fmt: skip
            await sock.connect(where)
            return Reach.CONNECTED, ""
    except OSError as error:
        return reach_of(error), os.strerror(error.errno).lower() if error.errno else str(error)
    return Reach.SILENT, ""


def reach_of(error: OSError) -> Reach:
    """Return what an error of connect(2) says of the way."""
    match error.errno:
        case errno.ECONNREFUSED:
            return Reach.REFUSED
        case errno.ETIMEDOUT:
            return Reach.SILENT
        case _:
            return Reach.NO_ROUTE
