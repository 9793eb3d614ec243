"""The tmem server: its listener, who may connect, its connections, and the end of pools."""

import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import trio

from net.buffers import BufferPool
from ramsterd.core.page import PoolId
from ramsterd.core.pools import Pool
from ramsterd.endpoints.accept import Acceptor
from ramsterd.endpoints.descriptors import NO_LIMIT, Descriptors
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.clients.attendance import Attendance
from ramsterd.frontends.clients.exchange import Ended, LingeringAt, never_linger
from ramsterd.frontends.clients.roster import Roster
from ramsterd.frontends.pager.interface import PoolPager
from ramsterd.frontends.tmem.connection import Connection
from ramsterd.frontends.tmem.counters import Counters, End, TmemStatistics
from ramsterd.frontends.tmem.handed import handed_from
from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    PAGES_PER_FRAME_MAX,
    ErrorCode,
    encode_error,
)
from ramsterd.frontends.tmem.pool_records import PoolSnapshot, Quotas, Refused
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.users import peer_user
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import ConnectionRecord, DamagedRecord, Endpoint, FrontEnd
from ramsterd.handover.listening import Listening, listening_unix
from ramsterd.handover.parting import Parting, shut_down
from ramsterd.statefile.marks import Mark, Marks

_log = logging.getLogger("ramster.tmem")

_QUIET_ENDS: Final = {End.CLOSED, End.BROKEN, End.STOPPED}
# A reply to the largest GET leaves in one sendmsg; the kernel doubles this, for its own
# bookkeeping, and may cut it to net.core.wmem_max.  benchmarks/tmem.py: a page of a get cost the
# daemon 6 to 20 % less, in three pairs of runs.
_SEND_BUFFER_BYTES: Final = PAGES_PER_FRAME_MAX * PAGE_BYTES
# Pages of a destroyed pool dropped between two turns of everybody else: about a millisecond.
SWEEP_PAGES: Final = 1024


class TmemServer:
    """Serves programs on a Unix socket; without a path it only keeps its books."""

    def __init__(
        self,
        pager: PoolPager,
        *,
        socket_path: Path | None,
        quotas: Quotas,
        users: frozenset[int],
        connections_max: int,
        marks: Marks | None = None,
        follow: Callable[[Mark, PoolId], None] = lambda _mark, _pool: None,
        left: Iterable[Pool] = (),
        descriptors: Descriptors = NO_LIMIT,
        arrival: Arrival | None = None,
        lingering_at: LingeringAt = never_linger,
    ) -> None:
        """Wire it.

        `left` and `arrival` are the pools and connections that an earlier process left, and
        `lingering_at` is that of `host.poller`.
        """
        self._lingering_at = lingering_at
        self._arrival = arrival or Arrival()
        self._listening: Listening | None = None
        self._roster = Roster()
        self._pager = pager
        self._socket_path = socket_path
        self._users = users
        self._acceptor = Acceptor(
            "tmem client", logger=_log, descriptors=descriptors, last_words=_too_many
        )
        self._counters = Counters()
        self._attendance = Attendance(
            self._acceptor, self._counters, connections_max=connections_max, stopped=End.STOPPED
        )
        self._buffers = BufferPool()
        self._hangups = Hangups()
        self._sweeper = trio.lowlevel.ParkingLot()
        self._book = PoolBook(pager, quotas, marks=marks, follow=follow, on_doomed=self._on_doomed)
        self._book.take_up(left)

    def set_limits(self, *, quotas: Quotas, users: frozenset[int], connections_max: int) -> None:
        """Change who may have how much, from now on.

        Connected programs stay, and keep what is there.
        """
        self._book.set_quotas(quotas)
        self._users = users
        self._attendance.connections_max = connections_max

    def _on_doomed(self) -> None:
        self._sweeper.unpark()

    def statistics(self) -> TmemStatistics:
        """Return one snapshot; pages of pools as they are charged."""
        book = self._book
        return self._counters.snapshot(
            TmemStatistics,
            connections_refused=self._acceptor.refused_total,
            pools=book.pool_snapshots(),
            users=book.user_snapshots(),
            doomed_pools=book.doomed_pools,
        )

    def clear_emptied(self) -> None:
        """Note which pools have no page any more: they are blank again."""
        self._book.clear_emptied()

    def count_pools(self) -> tuple[PoolSnapshot, ...]:
        """Return every pool with its pages counted anew.  Walks all of them."""
        for user in list(self._book.users()):
            self._book.recount(user)
        return self._book.pool_snapshots()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled.

        Resources: the socket is closed and its file is removed at the end.
        Errors: what one client does wrong ends that client's connection only.

        Raises:
            SocketPathTaken: Somebody serves at the socket path already.
            OSError: The path can't be bound.
        """
        if self._socket_path is None:
            task_status.started()
            return
        listening = listening_unix(Endpoint.TMEM, self._socket_path, self._arrival)
        with listening as self._listening, closing(self._hangups):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hangups.serve)
                nursery.start_soon(self._sweep)
                for record, sock in self._arrival.connections(FrontEnd.TMEM):
                    self._take_up(nursery, record, sock)
                self._book.drop_unclaimed()
                accept = partial(
                    self._acceptor.run,
                    self._listening.sock,
                    partial(self._on_accepted, nursery),
                )
                nursery.start_soon(self._listening.run, accept)
                task_status.started()

    # From one process to the next.

    def _take_up(
        self, nursery: trio.Nursery, record: ConnectionRecord, sock: socket.socket
    ) -> None:
        user = peer_user(sock)
        connection = self._connection(sock, user)
        try:
            connection.take_up(handed_from(record))
        except (DamagedRecord, Refused) as error:
            _log.warning("a tmem client of user %d is disconnected: %s", user, error)
            self._arrival.on_dropped()
            shut_down(sock.detach())
        else:
            self._arrival.on_taken()
            serve = partial(self._serve_connection, connection, user)
            self._attendance.take_up(nursery, sock, serve)

    async def come_to_edges(self) -> None:
        """Accept nobody and begin no request; return when no connection has one under way."""
        if self._listening is not None:
            await self._listening.stop_accepting()
        await self._roster.come_to_edges()

    def hand_over(self, parting: Parting) -> None:
        """Leave everything to the next process; `serve` is to be cancelled in the same step."""
        if self._listening is not None:
            self._listening.hand_over(parting)
        self._roster.hand_over(parting)

    async def _sweep(self) -> None:
        """Drop the pages of destroyed pools, a slice at a time."""
        while True:
            if self._book.is_sweeping:
                self._book.sweep(SWEEP_PAGES)
                self._pager.settle()
                await trio.lowlevel.checkpoint()
            else:
                await self._sweeper.park()

    def _on_accepted(self, nursery: trio.Nursery, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        user = peer_user(sock)
        if user not in self._users:
            text = f"user {user} is not in [tmem] users"
            self._acceptor.refuse(sock, text, encode_error(0, ErrorCode.NOT_ALLOWED, text))
        else:
            self._attendance.admit(nursery, sock, partial(self._serve_client, user))

    async def _serve_client(self, user: int, sock: socket.socket, number: int) -> Ended[End]:
        _log.debug("tmem client %d of user %d connected", number, user)
        return await self._serve_connection(self._connection(sock, user), user, sock, number)

    def _connection(self, sock: socket.socket, user: int) -> Connection:
        return Connection(
            sock,
            self._pager,
            self._book,
            user,
            self._counters,
            self._buffers,
            self._hangups,
            self._roster,
            self._lingering_at,
        )

    async def _serve_connection(
        self, connection: Connection, user: int, _: socket.socket, number: int
    ) -> Ended[End]:
        ended = await connection.serve()
        _log.log(
            logging.DEBUG if ended.end in _QUIET_ENDS else logging.WARNING,
            "tmem client %d (user %d, %r): %s (%s)",
            number, user, connection.client_name, ended.end.value, ended.detail,
        )  # fmt: skip
        return ended


def _too_many(reason: str) -> bytes:
    return encode_error(0, ErrorCode.TOO_MANY_CONNECTIONS, reason)
