"""The NBD server: its listeners, its connections, and what they count."""

import logging
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ramsterd.endpoints.accept import Acceptor
from ramsterd.endpoints.descriptors import NO_LIMIT, Descriptors
from ramsterd.endpoints.sockets import listen_tcp, listen_unix, remove_socket_file
from ramsterd.frontends.nbd.connection import Clients, Connection
from ramsterd.frontends.nbd.counters import Counters, End, NbdStatistics
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.pager import DiskPager

_log = logging.getLogger("ramster.nbd")

# Many clients, fio among them, just close when they are done; garbage and the like are worth a look.
_LEVELS: Final = {
    End.DISCONNECTED: logging.DEBUG,
    End.ABORTED: logging.DEBUG,
    End.STOPPED: logging.DEBUG,
    End.CLOSED_EARLY: logging.INFO,
    End.BROKEN: logging.INFO,
    End.REFUSED: logging.WARNING,
    End.GARBAGE: logging.WARNING,
    End.TOO_SLOW: logging.WARNING,
}
assert set(_LEVELS) == set(End)


class NbdServer:
    """Serves exports on a Unix socket, on loopback TCP, or on both.

    An export has `connections_max` clients at most; one more is refused by name in its handshake.
    """

    def __init__(
        self,
        pager: DiskPager,
        exports: Sequence[Export],
        *,
        socket_path: Path | None = None,
        listen: str = "",
        connections_max: int = 64,
        descriptors: Descriptors = NO_LIMIT,
    ) -> None:
        self._pager = pager
        self._exports = tuple(exports)
        self._socket_path = socket_path
        self._listen = listen
        # Those in a handshake count too, and could be for any export.
        self._connections_max = connections_max * max(1, len(exports))
        self._acceptor = Acceptor("NBD client", logger=_log, descriptors=descriptors)
        self._counters = Counters()
        self._clients = Clients(connections_max, self._counters)
        pager.call_settled(self._clients.on_settled)

    def set_exports(self, exports: Sequence[Export], *, connections_max: int) -> None:
        """Offer these to clients that connect from now on; those that are connected go on as they were told."""
        self._exports = tuple(exports)
        self._connections_max = connections_max * max(1, len(exports))
        self._clients.set_connections_max(connections_max)

    def statistics(self) -> NbdStatistics:
        """Return one snapshot of the counters."""
        return self._counters.snapshot(connections_refused=self._acceptor.refused_total)

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, so that what an export holds is all that was written."""
        return not self._counters.in_flight_count

    async def serve(
        self, task_status: trio.TaskStatus[int | None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; `task_status` is told the TCP port, or None without TCP.

        Resources: sockets are closed and the socket file is removed at the end.
        Errors: what one client does wrong ends that client's connection only.

        Raises:
            SocketPathTaken: Somebody serves at the socket path already.
            ListenAddressRefused: The TCP address is no loopback address.
            OSError: An address cannot be bound.
        """
        with ExitStack() as stack:
            listeners: list[socket.socket] = []
            port: int | None = None
            if self._socket_path is not None:
                listeners.append(stack.enter_context(listen_unix(self._socket_path)))
                inode = self._socket_path.lstat().st_ino
                stack.callback(remove_socket_file, self._socket_path, inode)
            if self._listen:
                listeners.append(stack.enter_context(listen_tcp(self._listen)))
                port = listeners[-1].getsockname()[1]
            stack.callback(self._clients.hangups.close)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._clients.hangups.serve)
                for listener in listeners:
                    nursery.start_soon(
                        self._acceptor.run, listener, partial(self._on_accepted, nursery)
                    )
                task_status.started(port)

    def _on_accepted(self, nursery: trio.Nursery, sock: socket.socket) -> None:
        if self._counters.connections >= self._connections_max:
            self._acceptor.refuse(sock, f"{self._connections_max} connections already")
            return
        self._counters.connections += 1
        self._counters.connections_total += 1
        nursery.start_soon(self._run, sock, self._counters.connections_total)

    async def _run(self, sock: socket.socket, number: int) -> None:
        end = End.STOPPED
        try:
            with sock:
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _log.debug("NBD client %d connected", number)
                connection = Connection(sock, self._exports, self._pager, self._clients)
                ended = await connection.serve()
                end = ended.end
        finally:
            self._counters.connections -= 1
            self._counters.ended[end] += 1
        detail = f" ({ended.detail})" if ended.detail else ""
        _log.log(_LEVELS[end], "NBD client %d: %s%s", number, end.value, detail)
