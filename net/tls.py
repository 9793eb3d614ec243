"""Streams over TLS 1.3, both sides with a certificate of the cluster's CA.

The same byte pump as `net.tcp`: the TLS object sits on the non-blocking socket and decrypts
straight into the caller's buffer; trio only waits.  benchmarks/tls.py, one process and core, in
MiB/s: plain 2311, this 889, `trio.SSLStream` 533; BIOs in memory reach 2023 before any socket is
touched.  The handshake runs inside the first `receive_into`, so that the bound on connections that
have not greeted, and the time a greeting may take, hold for it too.

A certificate says which node the other side is.  What it says is compared with HELLO in `net.mesh`:
here only the chain, the dates and the purpose are judged.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from net.certificates import Credentials, names_shown
from net.errors import PeerLost
from net.tcp import IMMEDIATE_RECEIVES_MAX, TcpStream, TcpTransport
from net.transport import Closing, Piece, PortStatus, Stream

log = logging.getLogger("ramster.net")

# Joined before they are encrypted: a record holds 16 KiB at most, and a record for each small piece
# would cost a system call each.  Larger joins save calls into the library and cost memory while the
# socket is full.
SEALED_BYTES_MAX: Final = 64 * 1024
# A side that refuses a certificate says so in an alert.  Closing at once, with their first frame
# unread, would make the kernel reset the connection and take the alert with it.
ALERT_SECONDS_MAX: Final = 1.0
ALERT_DRAIN_BYTES_MAX: Final = 64 * 1024

_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer showed no certificate",
    "WRONG_VERSION_NUMBER": "the peer does not use TLS; this node has [tls] set",
    "HTTP_REQUEST": "the peer uses HTTP, not TLS",
    "UNSUPPORTED_PROTOCOL": "the peer uses a TLS version before 1.3",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer refused this node: this node showed no certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer refused this node: the certificate of this node has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer refused this node: another CA signed the certificate of this node",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refused the certificate of this node",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the peer refused the certificate of this node: it is for another purpose",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer refused this node: no TLS version in common",
}

# X509_V_ERR_*: the chain does not end at a CA that we have.  OpenSSL's own words speak of how it
# noticed.
_FOREIGN_CA: Final = frozenset({18, 19, 20, 21})


class TlsStream:
    """One connection; its certificate is known once anything was received."""

    def __init__(self, stream: TcpStream, context: ssl.SSLContext, *, is_server: bool) -> None:
        """Take the socket over; the plain stream was only the way to it.

        Raises:
            PeerLost: The connection broke before anything was said.
        """
        self.peer = stream.peer
        plain = stream.detach()
        try:
            # The library leaves a socket behind when it finds one reset: so ask first.
            plain.getpeername()
            self._socket = context.wrap_socket(
                plain,
                server_side=is_server,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=True,
            )
        except OSError as error:  # it is wrapped only while connected
            plain.close()
            raise PeerLost(why(error, "no TLS handshake")) from error
        self._is_open = trio.Event()
        self._is_closed = False
        self._is_handshaken = False
        self._lost_reason = "the stream is closed"
        self._immediate_receives = 0
        # A sealed piece that the socket did not take: TLS wants the very same bytes again.
        self._blocked: Piece = b""
        self.certified_names: frozenset[str] = frozenset()

    @property
    def is_certified(self) -> bool:
        """Whether the other side has shown a certificate of our CA: without one no handshake ends."""
        return self._is_handshaken

    async def receive_into(self, target: memoryview) -> int:
        """Receive at least one byte into `target` and return how many.

        0 when the other side closed.
        """
        if not self._is_handshaken:
            await self._shake_hands()
        if self._immediate_receives >= IMMEDIATE_RECEIVES_MAX:
            self._immediate_receives = 0
            await trio.lowlevel.checkpoint()
        while not self._is_closed:
            try:
                count = self._socket.recv_into(target)
            except ssl.SSLWantReadError:
                self._immediate_receives = 0
                await self._wait(trio.lowlevel.wait_readable)
            except ssl.SSLWantWriteError:
                await self._wait(trio.lowlevel.wait_writable)
            except OSError as error:
                raise PeerLost(why(error, "receiving failed")) from error
            else:
                self._immediate_receives += 1
                return count
        raise PeerLost(self._lost_reason)

    async def _shake_hands(self) -> None:
        while not self._is_closed:
            try:
                self._socket.do_handshake()
            except ssl.SSLWantReadError:
                await self._wait(trio.lowlevel.wait_readable)
            except ssl.SSLWantWriteError:
                await self._wait(trio.lowlevel.wait_writable)
            except OSError as error:
                self._lost_reason = why(error, "no TLS handshake")
                await self._let_alert_arrive()
                raise PeerLost(self._lost_reason) from error
            else:
                self.certified_names = names_shown(self._socket)
                self._is_handshaken = True
                self._is_open.set()
                return
        raise PeerLost(self._lost_reason)

    async def _let_alert_arrive(self) -> None:
        """Read what they sent until they close, within bounds."""
        try:
            raw = socket.socket(fileno=self._socket.detach())
        except OSError:
            return
        self._is_closed = True
        try:
            await drain(raw)
        finally:
            # Only now: a writer that hears of it ends the link, and us with it.
            self._is_open.set()

    def send_nowait(self, pieces: Sequence[Piece]) -> int:
        """Send what fits now of the pieces, in order, and return how many bytes went.

        Before the handshake nothing goes.  What did not go must come first in the next call.
        """
        if self._is_closed:
            raise PeerLost(self._lost_reason)
        if not self._is_handshaken:
            return 0
        total = 0
        try:
            for sealed in self._to_seal(pieces):
                self._blocked = sealed
                sent = self._socket.send(sealed)
                self._blocked = b""
                total += sent
                if sent < len(sealed):  # the library sends all or nothing, unless told otherwise
                    break
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            # Nothing goes after this; but a caller may try, and with other bytes.
            self._blocked = b""
            raise PeerLost(why(error, "sending failed")) from error
        return total

    def _to_seal(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces joined to runs, those blocked before as they were."""
        if len(pieces) == 1 and not self._blocked and len(pieces[0]) <= SEALED_BYTES_MAX:
            return [bytes(pieces[0])]
        whole = memoryview(b"".join(pieces))
        runs: list[Piece] = []
        first = 0
        if self._blocked:
            first = len(self._blocked)
            assert whole[:first] == self._blocked, "what did not go comes first again"
            runs.append(self._blocked)
        runs += [
            whole[place : place + SEALED_BYTES_MAX]
            for place in range(first, len(whole), SEALED_BYTES_MAX)
        ]
        return runs

    async def wait_sendable(self) -> None:
        """Wait until `send_nowait` may take something, or the connection broke."""
        if not self._is_handshaken:
            await self._is_open.wait()
            if self._is_closed:
                raise PeerLost(self._lost_reason)
            return
        await self._wait(trio.lowlevel.wait_writable)

    async def _wait(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        if self._is_closed:
            raise PeerLost(self._lost_reason)
        try:
            await wait(self._socket)
        except trio.ClosedResourceError as error:
            raise PeerLost("the stream was closed") from error

    def close(self) -> None:
        """Close at once; a task that waits gets PeerLost.  May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._is_open.set()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class TlsTransport:
    """TCP with TLS on it.  `credentials` may be replaced: connections made from then on use the new ones."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._tcp = TcpTransport()

    async def dial(self, address: str, port: int) -> Stream:
        """Connect, or raise PeerLost; the handshake follows with the first receive."""
        stream = await self._tcp.dial(address, port)
        return TlsStream(stream, self.credentials.client, is_server=False)

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[[Stream], Awaitable[None]],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        """Listen until cancelled or closing; see `Transport`."""

        async def accept_tls(stream: Stream) -> None:
            assert isinstance(stream, TcpStream)
            try:
                sealed = TlsStream(stream, self.credentials.server, is_server=True)
            except PeerLost as lost:
                log.info("connection from %s failed: %s", stream.peer, lost)
                return
            try:
                await accept(sealed)
            finally:
                sealed.close()

        await self._tcp.listen(address, port, accept_tls, task_status=task_status, closing=closing)


def certified_names(stream: Stream) -> frozenset[str] | None:
    """Return the names that the other side's certificate proves; None without TLS."""
    return stream.certified_names if isinstance(stream, TlsStream) else None


def is_certified(stream: Stream) -> bool:
    """Return whether the other side has shown a certificate of our CA, of whatever name."""
    return isinstance(stream, TlsStream) and stream.is_certified


def peer_of(stream: Stream) -> str:
    """Return where the other side is, as the log shows it."""
    return stream.peer if isinstance(stream, TcpStream | TlsStream) else "an unknown address"


async def drain(raw: socket.socket) -> None:
    """Say that nothing more comes, read until they close, within bounds, and close."""
    rest = ALERT_DRAIN_BYTES_MAX
    with raw, trio.move_on_after(ALERT_SECONDS_MAX):
        raw.setblocking(False)
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_WR)
            while rest > 0:
                await trio.lowlevel.wait_readable(raw)
                got = len(raw.recv(rest))
                if not got:
                    return
                rest -= got


def why(error: OSError, what: str) -> str:
    """Return the reason of a failed TLS operation as an operator reads it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        foreign = "another CA signed it: " if error.verify_code in _FOREIGN_CA else ""
        return f"{what}: the peer's certificate is not valid here: {foreign}{error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return f"{what}: the peer closed the connection"
    if isinstance(error, ssl.SSLError) and error.reason:
        known = _REASONS.get(error.reason)
        return f"{what}: {known or error.reason.lower().replace('_', ' ')}"
    return f"{what}: {error}"
