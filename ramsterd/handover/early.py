"""Sockets of clients are open before the pages are here: who connects again meanwhile waits, and is not refused.

A client that is refused tries again after a pause, and after a longer one each time: QEMU after 1,
2 and 4 seconds.  So a start that takes a moment longer than one pause would cost the next one, too.

A socket that can't be had is left to its server, which finds the same and says so.
"""

from contextlib import suppress
from typing import Final

from config.model import DaemonConfig
from ramsterd.endpoints.sockets import (
    ListenAddressRefused,
    SocketPathTaken,
    listen_tcp,
    listen_unix,
)
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import Endpoint, ListenerRecord
from ramsterd.handover.listening import unix_record

_UNAVAILABLE: Final = (OSError, SocketPathTaken, ListenAddressRefused)


def listen_early(daemon: DaemonConfig, arrival: Arrival) -> None:
    """Open what did not come from an earlier process: servers take it from `arrival`, which closes the rest.

    Not the control socket: it is there when all else is.
    """
    paths = {Endpoint.NBD_UNIX: daemon.nbd.socket, Endpoint.TMEM: daemon.tmem.socket}
    for endpoint, path in paths.items():
        if path is not None and not arrival.has_listener(endpoint, str(path)):
            with suppress(*_UNAVAILABLE):
                sock = listen_unix(path)
                arrival.add_listener(unix_record(endpoint, path), sock)
    listen = daemon.nbd.listen
    if listen and not arrival.has_listener(Endpoint.NBD_TCP, listen):
        with suppress(*_UNAVAILABLE):
            record = ListenerRecord(endpoint=Endpoint.NBD_TCP, address=listen)
            arrival.add_listener(record, listen_tcp(listen))
