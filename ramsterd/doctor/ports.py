"""Can the ports of a node be had: tried as the daemon would, and given back at once.  A shell."""

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace

from config.endpoint import split_endpoint
from config.model import DaemonConfig, NodeConfig
from ramsterd.doctor.surroundings import Port

_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def ports_of(daemon: DaemonConfig, node: NodeConfig, address: str) -> Iterator[Port]:
    """Yield all ports of a node; `address` is its own, resolved."""
    for protocol in _TYPES:
        yield Port(key="address of [[node]]", protocol=protocol, address=address, port=node.port)
    for key, endpoint in (("[nbd] listen", daemon.nbd.listen), ("[metrics] listen", daemon.metrics.listen)):  # fmt: skip
        if endpoint:
            host, port = split_endpoint(endpoint)
            yield Port(key=key, protocol="TCP", address=host, port=port)


def try_ports(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Return the same with what keeps a daemon that starts now from each of them."""
    return tuple(_try(port) for port in ports)


def _try(port: Port) -> Port:
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    try:
        with socket.socket(family, _TYPES[port.protocol]) as tried:
            if port.protocol == "TCP":
                # As all listeners: connections of an earlier daemon that are not over yet are no matter.
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((port.address, port.port))
            if port.protocol == "TCP":
                tried.listen(1)
    except OSError as error:
        problem = os.strerror(error.errno).lower() if error.errno else str(error)
        return replace(port, problem=problem, is_foreign=error.errno == errno.EADDRNOTAVAIL)
    return port
