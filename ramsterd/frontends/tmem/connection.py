"""One client's socket: HELLO in time, then its requests until it leaves (`clients.exchange`)."""

import socket
from functools import partial
from typing import Final

import trio

from net.buffers import BufferPool
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.clients.exchange import Ended, Ends, Exchange, LingeringAt
from ramsterd.frontends.clients.roster import Member, Roster
from ramsterd.frontends.pager.interface import PoolPager
from ramsterd.frontends.tmem.counters import Counters, End
from ramsterd.frontends.tmem.handed import Handed, record_of
from ramsterd.frontends.tmem.messages import HELLO_SECONDS_MAX
from ramsterd.frontends.tmem.pool_records import Refused
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.session import Session
from ramsterd.handover.document import ConnectionRecord

_ENDS: Final = Ends(closed=End.CLOSED, broken=End.BROKEN, garbage=End.GARBAGE)


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self,
        sock: socket.socket,
        pager: PoolPager,
        book: PoolBook,
        user: int,
        counters: Counters,
        buffers: BufferPool,
        hangups: Hangups,
        roster: Roster,
        lingering_at: LingeringAt,
    ) -> None:
        self._sock = sock
        self._hangups = hangups
        self._roster = roster
        self._exchange = Exchange(
            sock, counters, _ENDS, settle=pager.settle, lingering_at=lingering_at
        )
        self._session = Session(
            pager.open_client(), book, user, counters, self._exchange.send_soon, pool=buffers
        )

    @property
    def client_name(self) -> str:
        """The name that the client gave itself."""
        return self._session.client_name

    def take_up(self, handed: Handed) -> None:
        """Go on where an earlier process stood.

        Raises:
            Refused: A pool is not to be had any more; nothing is open.
        """
        try:
            self._session.take_up(handed)
        except Refused:
            self._session.close()
            raise

    async def serve(self) -> Ended[End]:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of
            ours.
        """
        member = Member(self._sock, self._exchange, partial(_leave, self._session))
        with self._roster.present(member):
            return await self._exchange.run(
                self._session,
                self._hangups,
                self._on_hangup,
                self._exchange.receive,
                partial(_wait_hello, self._session),
            )

    def _on_hangup(self, is_dead: bool) -> None:
        """The client closed the connection, or its side of it: nothing that waits is for anybody."""
        if is_dead or self._session.is_waiting:
            self._exchange.end(Ended(End.CLOSED))


def _leave(session: Session) -> ConnectionRecord:
    return record_of(session.leave())


async def _wait_hello(session: Session) -> Ended[End] | None:
    await trio.sleep(HELLO_SECONDS_MAX)
    return None if session.is_greeted else Ended(End.TOO_SLOW, f"{HELLO_SECONDS_MAX:.0f} s")
