"""The tmem server: its listener, who may connect, its connections, and the end of pools."""

import logging
import socket
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import trio

from net.buffers import BufferPool
from ramsterd.endpoints.accept import Acceptor
from ramsterd.endpoints.descriptors import NO_LIMIT, Descriptors
from ramsterd.endpoints.hangups import Hangups
from ramsterd.endpoints.sockets import unix_listener
from ramsterd.frontends.clients.attendance import Attendance
from ramsterd.frontends.clients.exchange import Ended
from ramsterd.frontends.pager.interface import PoolPager
from ramsterd.frontends.tmem.connection import Connection
from ramsterd.frontends.tmem.counters import Counters, End, TmemStatistics
from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    PAGES_PER_FRAME_MAX,
    ErrorCode,
    encode_error,
)
from ramsterd.frontends.tmem.pools import PoolBook, PoolSnapshot, Quotas
from ramsterd.frontends.tmem.users import peer_user
from ramsterd.statefile.marks import Marks

_log = logging.getLogger("ramster.tmem")

_QUIET_ENDS: Final = {End.CLOSED, End.BROKEN, End.STOPPED}
# A reply to the largest GET leaves in one sendmsg; the kernel doubles this, for its own bookkeeping, and may cut it to
# net.core.wmem_max.  benchmarks/tmem.py: a page of a get cost the daemon 6 to 20 % less, in three pairs of runs.
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
        descriptors: Descriptors = NO_LIMIT,
    ) -> None:
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
        self._book = PoolBook(pager, quotas, marks=marks, on_doomed=self._on_doomed)

    def set_limits(self, *, quotas: Quotas, users: frozenset[int], connections_max: int) -> None:
        """Change who may have how much, from now on; whoever is connected stays, and keeps what is there."""
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
        with unix_listener(self._socket_path) as listener, closing(self._hangups):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hangups.serve)
                nursery.start_soon(self._sweep)
                nursery.start_soon(
                    self._acceptor.run, listener, partial(self._on_accepted, nursery)
                )
                task_status.started()

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
        connection = Connection(
            sock, self._pager, self._book, user, self._counters, self._buffers, self._hangups
        )
        ended = await connection.serve()
        _log.log(
            logging.DEBUG if ended.end in _QUIET_ENDS else logging.WARNING,
            "tmem client %d (user %d, %r): %s (%s)",
            number, user, connection.client_name, ended.end.value, ended.detail,
        )  # fmt: skip
        return ended


def _too_many(reason: str) -> bytes:
    return encode_error(0, ErrorCode.TOO_MANY_CONNECTIONS, reason)
