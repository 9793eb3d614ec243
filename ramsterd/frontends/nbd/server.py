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
from ramsterd.frontends.clients.attendance import Attendance
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.clients.exchange import Ended, LingeringAt, never_linger
from ramsterd.frontends.nbd.connection import Clients, Connection
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.handed import Handed, HandedHandshake, handed_from, handshake_from
from ramsterd.frontends.pager import DiskPager
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import ConnectionRecord, DamagedRecord, Endpoint, FrontEnd
from ramsterd.handover.listening import Listening, listening_tcp, listening_unix
from ramsterd.handover.parting import Parting, shut_down

_log = logging.getLogger("ramster.nbd")

# Many clients, fio among them, just close when they are done; one that went before it had its
# replies may have failed, and garbage and the like are worth a look.
_LEVELS: Final = {
    End.DISCONNECTED: logging.DEBUG,
    End.ABORTED: logging.DEBUG,
    End.STOPPED: logging.DEBUG,
    End.CLOSED_EARLY: logging.DEBUG,
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
        arrival: Arrival | None = None,
        lingering_at: LingeringAt = never_linger,
    ) -> None:
        """Wire it; `arrival` is what an earlier process left, and `lingering_at` that of `host.poller`."""
        self._arrival = arrival or Arrival()
        self._listenings: list[Listening] = []
        self._pager = pager
        self._exports = tuple(exports)
        self._socket_path = socket_path
        self._listen = listen
        self._acceptor = Acceptor("NBD client", logger=_log, descriptors=descriptors)
        self._counters = Counters()
        self._attendance = Attendance(
            self._acceptor,
            self._counters,
            connections_max=_connections_of_all(connections_max, exports),
            stopped=End.STOPPED,
        )
        self._clients = Clients(connections_max, self._counters, exports, lingering_at)
        # Who has an export open, and that nobody opens it: what is to change it asks.
        self.clients_of = self._clients.clients_of
        self.shut, self.unshut = self._clients.shut, self._clients.unshut
        pager.call_settled(self._clients.on_settled)

    def set_exports(self, exports: Sequence[Export], *, connections_max: int) -> None:
        """Offer these to clients that connect from now on.

        Those that are connected go on as they were told.
        """
        self._exports = tuple(exports)
        self._attendance.connections_max = _connections_of_all(connections_max, exports)
        self._clients.offer(exports, connections_max)

    def statistics(self) -> ClientStatistics:
        """Return one snapshot of the counters."""
        return self._counters.snapshot(
            ClientStatistics, connections_refused=self._acceptor.refused_total
        )

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
            OSError: An address can't be bound.
        """
        with ExitStack() as stack:
            port: int | None = None
            if self._socket_path is not None:
                unix = listening_unix(Endpoint.NBD_UNIX, self._socket_path, self._arrival)
                self._listenings.append(stack.enter_context(unix))
            if self._listen:
                tcp = listening_tcp(Endpoint.NBD_TCP, self._listen, self._arrival)
                self._listenings.append(stack.enter_context(tcp))
                port = self._listenings[-1].sock.getsockname()[1]
            stack.callback(self._clients.hangups.close)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._clients.hangups.serve)
                for front_end in (FrontEnd.NBD, FrontEnd.NBD_HANDSHAKE):
                    for record, sock in self._arrival.connections(front_end):
                        self._take_up(nursery, record, sock)
                for each in self._listenings:
                    accept = partial(
                        self._acceptor.run, each.sock, partial(self._on_accepted, nursery)
                    )
                    nursery.start_soon(each.run, accept)
                task_status.started(port)

    # From one process to the next.

    def _take_up(
        self, nursery: trio.Nursery, record: ConnectionRecord, sock: socket.socket
    ) -> None:
        try:
            handed = (
                handshake_from(record)
                if record.front_end is FrontEnd.NBD_HANDSHAKE
                else handed_from(record, self._exports)
            )
        except DamagedRecord as error:
            _log.warning("an NBD client is disconnected: %s", error)
            self._arrival.on_dropped()
            shut_down(sock.detach())
        else:
            self._arrival.on_taken()
            self._attendance.take_up(nursery, sock, partial(self._serve_client, handed))

    async def come_to_edges(self) -> None:
        """Accept nobody and begin no request; return when no connection has one under way."""
        for listening in self._listenings:
            await listening.stop_accepting()
        await self._clients.roster.come_to_edges()

    def hand_over(self, parting: Parting) -> None:
        """Leave everything to the next process; `serve` is to be cancelled in the same step."""
        for listening in self._listenings:
            listening.hand_over(parting)
        self._clients.roster.hand_over(parting)

    def _on_accepted(self, nursery: trio.Nursery, sock: socket.socket) -> None:
        self._attendance.admit(nursery, sock, partial(self._serve_client, None))

    async def _serve_client(
        self, handed: Handed | HandedHandshake | None, sock: socket.socket, number: int
    ) -> Ended[End]:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _log.debug("NBD client %d connected", number)
        connection = Connection(sock, self._exports, self._pager, self._clients, handed=handed)
        ended = await connection.serve()
        detail = f" ({ended.detail})" if ended.detail else ""
        _log.log(
            _LEVELS[ended.end],
            "NBD client %d%s: %s%s", number, connection.name, ended.end.value, detail,
        )  # fmt: skip
        return ended


def _connections_of_all(connections_max: int, exports: Sequence[Export]) -> int:
    """Return how many clients all exports may have.

    Those in a handshake count too, and could be for any of them.
    """
    return connections_max * max(1, len(exports))
