"""One client's socket: the handshake, then its requests until it says goodbye (`clients.exchange`)."""

import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import trio

from net.buffers import BufferPool
from net.errors import RemoteProtocolError
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.clients.exchange import (
    Ended,
    Ends,
    Exchange,
    LingeringAt,
    never_linger,
    why_broken,
)
from ramsterd.frontends.clients.roster import Member, Roster
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.handed import Handed, HandedHandshake, record_of, record_of_handshake
from ramsterd.frontends.nbd.handshake import Handshake
from ramsterd.frontends.nbd.negotiation import Negotiation, State
from ramsterd.frontends.nbd.protocol import (
    DISCONNECT_SECONDS_MAX,
    HANDSHAKE_SECONDS_MAX,
    REQUEST,
    REQUEST_BYTES,
    Command,
    request_word,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.pager import DiskPager
from ramsterd.handover.document import ConnectionRecord

_LAST_WORDS_BYTES: Final = 64 * 1024
_ENDS: Final = Ends(closed=End.CLOSED_EARLY, broken=End.BROKEN, garbage=End.GARBAGE)


class Clients:
    """The state that all connections of a server share."""

    def __init__(
        self,
        connections_max: int,
        counters: Counters,
        exports: Iterable[Export] = (),
        lingering_at: LingeringAt = never_linger,
    ) -> None:
        self._connected: dict[str, int] = {}
        # Those that nobody may open for now.
        self._shut: set[str] = set()
        self.offer(exports, connections_max)
        self._late: dict[Exchange[End], None] = {}
        self.counters = counters
        self.lingering_at = lingering_at
        self.buffers = BufferPool()
        self.hangups = Hangups()
        self.roster = Roster()

    def offer(self, exports: Iterable[Export], connections_max: int) -> None:
        """Let in clients of these from now on, so many of each."""
        self._offered = {export.name: export for export in exports}
        self._connections_max = connections_max

    def shut(self, name: str) -> None:
        """Let nobody open an export until `unshut`."""
        self._shut.add(name)

    def unshut(self, name: str) -> None:
        """Let clients open an export again, if it is still offered."""
        self._shut.discard(name)

    def clients_of(self, name: str) -> int:
        """Return how many clients have an export open."""
        return self._connected.get(name, 0)

    def open_export(self, export: Export) -> str:
        """Count one more client of an export, or return why it is not open to one more.

        `close_export` ends that.  A handshake takes its time: what the client was told of the
        export must still be so.
        """
        name = export.name
        offered = self._offered.get(name)
        if offered is None or offered.pool != export.pool or offered.size < export.size:
            return f"export {name} is another one now, or gone: connect again"
        if name in self._shut:
            return f"export {name} is shut while an operator changes it: connect again"
        if self.clients_of(name) >= self._connections_max:
            return f"too many clients of export {name}"
        self.take_up_export(export)
        return ""

    def take_up_export(self, export: Export) -> None:
        """Count a client that has an export open already."""
        self._connected[export.name] = self.clients_of(export.name) + 1

    def close_export(self, export: Export) -> None:
        """A client that `open_export` has counted is gone."""
        self._connected[export.name] -= 1
        if not self._connected[export.name]:
            del self._connected[export.name]

    def on_late_reply(self, exchange: Exchange[End]) -> None:
        """A request that waited is answered: the reply is sent when the present pass of the pager ends."""
        self._late[exchange] = None

    def on_settled(self) -> None:
        """The pass is over."""
        if self._late:
            late, self._late = self._late, {}
            for exchange in late:
                exchange.push()


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self,
        sock: socket.socket,
        exports: Sequence[Export],
        pager: DiskPager,
        clients: Clients,
        *,
        handed: Handed | HandedHandshake | None = None,
    ) -> None:
        """Wire it; one that was handed over goes on where it was."""
        self._sock = sock
        self._handed = handed
        self._exports = exports
        self._pager = pager
        self._clients = clients
        # Why the client got no export, if that is how the handshake ended.
        self._refusal = ""
        # What counts us as a client since the handshake said that we are.
        self._opened: Export | None = None

    @property
    def name(self) -> str:
        """How the log calls the client after its number: by its export, once it has one."""
        return "" if self._opened is None else f" of export {self._opened.name}"

    async def serve(self) -> Ended[End]:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of
            ours.
        """
        ended = await self._serve()
        return Ended(End.REFUSED, self._refusal) if self._refusal else ended

    async def _serve(self) -> Ended[End]:
        try:
            handed, self._handed = self._handed, None
            if isinstance(handed, Handed):
                self._take_up(handed)
                agreed: Handed | Ended[End] = handed
            else:
                agreed = await self._negotiate(handed)
            return agreed if isinstance(agreed, Ended) else await self._transmit(agreed)
        except RemoteProtocolError as error:
            return Ended(End.GARBAGE, str(error))
        except OSError as error:
            return Ended(End.BROKEN, why_broken(error))
        finally:
            if self._opened is not None:
                self._clients.close_export(self._opened)

    def _open_export(self, export: Export) -> str:
        if not (refusal := self._clients.open_export(export)):
            self._opened = export
        return refusal

    def _take_up(self, handed: Handed) -> None:
        self._opened = handed.session.export
        self._clients.take_up_export(self._opened)

    async def _negotiate(self, handed: HandedHandshake | None) -> Handed | Ended[End]:
        negotiation = Negotiation(self._exports, self._open_export)
        handshake = Handshake(self._sock, negotiation, handed)
        member = Member(self._sock, handshake, partial(_leave_handshake, handshake))
        try:
            with self._clients.roster.present(member), trio.move_on_after(HANDSHAKE_SECONDS_MAX):
                if not await handshake.run():
                    return Ended(End.CLOSED_EARLY, "in the handshake")
                if negotiation.state is State.ABORTED:
                    return Ended(End.ABORTED)
                return Handed(negotiation.session, None, negotiation.rest, b"")
            return Ended(End.TOO_SLOW, f"no export after {HANDSHAKE_SECONDS_MAX:.0f} s")
        finally:
            self._refusal = negotiation.refusal

    async def _transmit(self, handed: Handed) -> Ended[End]:
        clients, session = self._clients, handed.session
        exchange = Exchange(
            self._sock, clients.counters, _ENDS,
            settle=self._pager.settle, lingering_at=clients.lingering_at,
        )  # fmt: skip
        transmission = Transmission(
            session,
            self._pager.open_client(),
            clients.counters,
            partial(clients.on_late_reply, exchange),
            pool=clients.buffers,
        )
        transmission.take_up(handed.part, handed.unread, handed.unsent)
        member = Member(self._sock, exchange, partial(_leave, session, transmission))
        with clients.roster.present(member):
            return await exchange.run(
                transmission,
                clients.hangups,
                partial(self._on_hangup, exchange, transmission),
                partial(_receive_until_ended, exchange, transmission),
            )

    def _on_hangup(
        self, exchange: Exchange[End], transmission: Transmission, is_dead: bool
    ) -> None:
        """The client closed the connection, or its side of it: nothing that waits is for anybody."""
        if is_dead:
            exchange.end(self._last_words(transmission))
        elif transmission.is_waiting and not transmission.is_disconnecting:
            exchange.end(Ended(End.CLOSED_EARLY))

    def _last_words(self, transmission: Transmission) -> Ended[End]:
        """Return how a client that is gone took its leave: what it sent last may be unread."""
        words = transmission.received.unserved()
        try:
            while data := self._sock.recv(_LAST_WORDS_BYTES):
                words = words[-REQUEST_BYTES:] + data
        except OSError as error:
            return Ended(End.BROKEN, why_broken(error))
        has_said_it = transmission.is_disconnecting
        if len(words) >= REQUEST_BYTES:
            word, *_ = REQUEST.unpack_from(words, len(words) - REQUEST_BYTES)
            has_said_it = has_said_it or word == request_word(Command.DISC)
        return Ended(End.DISCONNECTED if has_said_it else End.CLOSED_EARLY)


def _leave_handshake(handshake: Handshake) -> ConnectionRecord:
    negotiation, unsent = handshake.negotiation, handshake.unsent
    if negotiation.is_over:
        # The client has its export; of the last answer it lacks a part.
        return record_of(Handed(negotiation.session, None, negotiation.rest, unsent))
    return record_of_handshake(HandedHandshake(negotiation.position, unsent))


def _leave(session: Session, transmission: Transmission) -> ConnectionRecord:
    """Return the record of a connection at an edge; its replies are somebody else's to send."""
    return record_of(
        Handed(
            session,
            transmission.what_is_left(),
            transmission.received.unserved(),
            transmission.replies.take(),
        )
    )


async def _receive_until_ended(
    exchange: Exchange[End], transmission: Transmission
) -> Ended[End] | None:
    return await exchange.receive() or await _drain(exchange, transmission)


async def _drain(exchange: Exchange[End], transmission: Transmission) -> Ended[End]:
    """Wait until every request of a client that said goodbye is answered."""
    with trio.move_on_after(DISCONNECT_SECONDS_MAX):
        while not transmission.is_finished:
            await exchange.wait_progress()
        return Ended(End.DISCONNECTED)
    return Ended(End.TOO_SLOW, "replies not taken after the disconnect")
