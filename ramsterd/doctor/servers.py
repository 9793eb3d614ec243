"""Is an NBD server the daemon of this node: by where it listens.  Pure."""

import posixpath

from config.endpoint import parse_address, split_endpoint
from config.model import DaemonConfig


def is_own_server(server: str, daemon: DaemonConfig) -> bool:
    """Whether a path, or an ADDRESS:PORT, is where the daemon of a config serves NBD."""
    if server.startswith("/"):
        return daemon.nbd.socket is not None and _plain(server) == _plain(str(daemon.nbd.socket))
    if not daemon.nbd.listen:
        return False
    try:
        address, port = split_endpoint(server)
    except ValueError:  # another program wrote it
        return False
    ours, our_port = split_endpoint(daemon.nbd.listen)
    return (parse_address(address), port) == (parse_address(ours), our_port)


def may_be_of_this_machine(server: str) -> bool:
    """Whether a server is on this machine: by its socket, or a loopback address."""
    return server.startswith("/") or parse_address(split_endpoint(server)[0]).is_loopback


def _plain(path: str) -> str:
    """Return a path as it is written most simply; /var/run is a link to /run on each machine."""
    plain = posixpath.normpath(path)
    return plain.removeprefix("/var") if plain.startswith("/var/run/") else plain
