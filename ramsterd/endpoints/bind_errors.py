"""Why an endpoint can't be opened: at which address or path, by which key, and what an operator types next.  Pure."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.endpoint import join_endpoint
from config.lookup import NameNotFound
from config.machine import addresses_to_bind
from config.model import DaemonConfig, NodeConfig
from config.rules import socket_paths
from ramsterd.endpoints.sockets import SocketPathTaken

# Links are TCP, and heartbeats UDP at the same port.
_WHO: Final = "`ss -ltunp 'sport = :{port}'` (as root) shows the program that uses it"
_LOW_PORT: Final = (
    "set a higher port, or give ramsterd CAP_NET_BIND_SERVICE (AmbientCapabilities= in its unit)"
)
_FOLDER: Final = "`ls -ld {folder}` shows who may make a socket there"
_SERVED: Final = "`ss -lxp | grep {place}` (as root) shows the program"
_NO_SOCKET: Final = "`ls -l {place}` shows what it is: move it away, or set another path"
_UNKNOWN: Final = "`getent ahosts {host}` shows what this machine finds"
_OF_LINKS: Final = "address and port of "
_AT_PORTS: Final = {
    errno.EADDRINUSE: _WHO,
    errno.EADDRNOTAVAIL: "`ip address` shows the addresses of this machine",
    errno.EACCES: _LOW_PORT,
    errno.EPERM: _LOW_PORT,
}
_AT_LINKS: Final = {
    **_AT_PORTS,
    errno.EADDRNOTAVAIL: f"{_AT_PORTS[errno.EADDRNOTAVAIL]}. If it has moved: `ramsterctl node set` at another"
    " member, then copy cluster.toml from there",
}
_AT_PATHS: Final = {
    errno.EACCES: _FOLDER,
    errno.EPERM: _FOLDER,
    errno.ENOENT: "`mkdir {folder}` makes its folder",
}


def keys_of_endpoints(daemon: DaemonConfig, node: NodeConfig) -> dict[str, str]:
    """Return which key says where an endpoint is, by the place as errors name it."""
    (_, address, port), *others = addresses_to_bind(daemon, node)
    return {
        **{str(path): key for key, path in socket_paths(daemon)},
        **{join_endpoint(host, its_port): key for key, host, its_port in others},
        join_endpoint(address, port): f"{_OF_LINKS}{node.name} in {daemon.cluster.name}",
    }


def explain(error: OSError | SocketPathTaken, what: str, keys: Mapping[str, str]) -> str:
    """Return in one line why something can't be served; `keys` are those of `keys_of_endpoints`."""
    if isinstance(error, SocketPathTaken):
        place, reason = str(error.path), error.reason
    else:
        place, reason = str(error.filename or ""), error.strerror or str(error)
    at = f" at {place} ({keys[place]})" if place in keys else ""
    if not at and "/" in place:
        reason = f"{place}: {reason}"
    command = _command(error, place, keys[place]) if at else ""
    return f"can't serve {what}{at}: {reason}{command and '; '}{command}"


def _command(error: OSError | SocketPathTaken, place: str, key: str) -> str:
    """Return what an operator types to see the cause, or an empty text."""
    if isinstance(error, NameNotFound):
        return _UNKNOWN.format(host=error.host)
    if isinstance(error, SocketPathTaken):
        told = _SERVED if error.is_socket else _NO_SOCKET
    else:
        found = _AT_PATHS if "/" in place else _AT_PORTS
        found = _AT_LINKS if key.startswith(_OF_LINKS) else found
        told = found.get(error.errno or 0, "")
    return told.format(place=place, folder=Path(place).parent, port=place.rpartition(":")[2])
