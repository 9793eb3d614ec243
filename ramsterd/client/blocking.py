"""The blocking client: one socket, one lock.

A call sends its requests, several frames ahead, and receives their replies; it returns when all
have come.  Sends never wait while replies could be received, or two full sockets would wait for
each other.
"""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self, TypeVar

from net.errors import RemoteProtocolError
from ramsterd.client import requests as calls
from ramsterd.client.errors import NotConnected
from ramsterd.client.protocol import ClientProtocol, Request, pieces_of
from ramsterd.client.requests import FRAME_PAGES, Buffer
from ramsterd.frontends.tmem.messages import PAGE_BYTES, PoolKind, Welcome

T = TypeVar("T")

# A daemon that owes us a reply and says nothing for this long is given up; a put may wait 5 s, a
# get 10 s.
SILENCE_SECONDS_MAX: Final = 30.0
# struct timeval, for SO_RCVTIMEO: a recv that waits in the kernel costs one call instead of two.
_TIMEVAL: Final = struct.Struct("@ll")
_KEPT_BYTES: Final = FRAME_PAGES * PAGE_BYTES
# One number: joining them at each call costs as much as half a system call.
_SEND_FLAGS: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Client:
    """A connection to the daemon of this machine.

    May be used from several threads, whose calls follow each other; not by a process and its fork.
    After NotConnected the client is closed.
    """

    def __init__(
        self,
        path: str | Path = "/run/ramster/tmem.sock",
        *,
        name: str = "",
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
    ) -> None:
        """Connect.

        Raises:
            NotConnected: No daemon serves there, or it has too many clients.
            NotAllowed: The daemon's config does not allow our user.
        """
        # Held by a call and by who closes; the same thread may do both, in a signal handler.
        self._lock = threading.RLock()
        self._is_closed = False
        self._protocol = ClientProtocol()
        self._silence_seconds_max = silence_seconds_max
        # A get of a few pages needs no new buffer.
        self._spare = [bytearray(_KEPT_BYTES)]
        self._welcome = Welcome(
            pages_per_frame_max=FRAME_PAGES,
            requests_in_flight_max=1,
            in_flight_bytes_max=_KEPT_BYTES,
            user=-1,
        )
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect(str(path), name)
        except BaseException:
            self._sock.close()
            raise

    def _connect(self, path: str, name: str) -> None:
        seconds = int(self._silence_seconds_max)
        microseconds = int((self._silence_seconds_max - seconds) * 1_000_000)
        timeval = _TIMEVAL.pack(seconds, microseconds)
        # The one bounds a connect that waits for a place in the daemon's backlog, the other every
        # recv.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        try:
            self._sock.connect(path)
        except OSError as error:
            raise NotConnected(f"no daemon at {path}: {error}") from error
        request = calls.hello_request(name)
        self.call([request])
        calls.raise_first([request])
        try:
            self._welcome = Welcome.parse(request.reply)
        except RemoteProtocolError as error:
            self._lose(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and with it the private pools.  May be called twice.

        A call of another thread raises NotConnected.
        """
        self._is_closed = True
        if not self._lock.acquire(blocking=False):
            # Wake the call first: while it uses the socket, its number must not become another
            # file's.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._lock.acquire()
        try:
            self._sock.close()
        finally:
            self._lock.release()

    @property
    def is_connected(self) -> bool:
        """Whether calls can be made; that the daemon is gone may turn out at the next one."""
        return not self._is_closed

    @property
    def user(self) -> int:
        """The user id as which the daemon knows us."""
        return self._welcome.user

    def new_pool(
        self,
        kind: PoolKind,
        *,
        name: str = "",
        codec: str = "lz4",
        exclusive_gets: bool = False,
    ) -> "Pool":
        """Return a new private pool, or the pool of our user with that name, made if it is not there.

        With `exclusive_gets` (ephemeral pools) a get takes the pages out of the pool.
        The codec is "lz4", "zstd" (smaller and slower, if the daemon has it) or "none".

        Raises:
            NotAllowed: Too many pools, the named one is of the other kind or codec, or the daemon
                lacks the codec.
            NotConnected: The daemon is gone.
        """
        request = calls.new_pool_request(kind, name, codec, is_exclusive=exclusive_gets)
        self.call([request])
        number, pages = self._checked(calls.opened_pool, request)
        return Pool(self, number, kind, name, pages)

    def status(self) -> dict[str, int]:
        """Return what this connection has: user, pools, pages."""
        request = calls.status_request()
        self.call([request])
        return self._checked(calls.status_of, request)

    def _checked(self, read: Callable[[Request], T], request: Request) -> T:
        """Return what a reply says; one that says nothing sensible ends the connection."""
        try:
            return read(request)
        except RemoteProtocolError as error:
            self._lose(f"the daemon broke the protocol: {error}", error)

    # For pools.

    @contextlib.contextmanager
    def spare(self, count_bytes: int) -> Iterator[memoryview]:
        """Lend a buffer; what is in it means nothing."""
        if count_bytes > _KEPT_BYTES:
            yield memoryview(bytearray(count_bytes))
            return
        # One atomic step each way, for other threads do the same.
        try:
            buffer = self._spare.pop()
        except IndexError:
            buffer = bytearray(_KEPT_BYTES)
        yield memoryview(buffer)[:count_bytes]
        self._spare.append(buffer)

    def dropped(self, request: Request) -> int:
        """Carry out a flush or a destroy; return how many pages it dropped."""
        self.call([request])
        return self._checked(calls.dropped_pages, request)

    def call(self, requests: Iterable[Request]) -> list[Request]:
        """Carry out requests, as many at a time as the daemon takes; return them, all done.

        What making the requests raises is raised before the first is sent.
        """
        requests = list(requests)
        protocol, welcome = self._protocol, self._welcome
        with self._lock:
            if not self.is_connected:
                raise NotConnected("the client is closed")
            try:
                for request in requests:
                    while protocol.waiting and (
                        len(protocol.waiting) >= welcome.requests_in_flight_max
                        or protocol.in_flight_bytes + request.in_flight_bytes
                        > welcome.in_flight_bytes_max
                    ):
                        self._receive()
                    self._send([*pieces_of(request, protocol.begin(request))])
                while protocol.waiting:
                    self._receive()
            except OSError as error:
                self._lose(str(error), error)
            except RemoteProtocolError as error:
                self._lose(f"the daemon broke the protocol: {error}", error)
            except BaseException:
                # Replies may be half received: nobody can go on from here.
                self.close()
                raise
        return requests

    def _send(self, pieces: list[bytes | memoryview]) -> None:
        while pieces:
            try:
                count = self._sock.sendmsg(pieces, [], _SEND_FLAGS)
            except BlockingIOError:
                self._wait_writable()
                continue
            except BrokenPipeError:
                self._receive_last_word()
            while pieces and count >= len(pieces[0]):
                count -= len(pieces.pop(0))
            if count:
                pieces[0] = memoryview(pieces[0])[count:]

    def _receive_last_word(self) -> NoReturn:
        """The daemon takes nothing any more: receive what it still said, until that raises why."""
        while True:
            self._receive()

    def _wait_writable(self) -> None:
        """Wait for room, receiving what comes meanwhile."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        events = poll.poll(self._silence_seconds_max * 1000)
        if not events:
            raise NotConnected(f"the daemon took nothing for {self._silence_seconds_max} s")
        if events[0][1] & ~select.POLLOUT:
            self._receive()

    def _receive(self) -> None:
        try:
            count = self._sock.recv_into(self._protocol.space())
        except BlockingIOError:
            silence = f"the daemon said nothing for {self._silence_seconds_max} s"
            raise NotConnected(silence) from None
        if not count:
            closer = "client" if self._is_closed else "daemon"
            self._lose(f"the {closer} closed the connection")
        self._protocol.on_received(count)

    def _lose(self, reason: str, cause: Exception | None = None) -> NoReturn:
        self.close()
        try:
            calls.lost_connection(self._protocol.farewell, reason)
        except Exception as error:
            raise error from cause


class Pool:
    """A pool of a client: runs of pages of 4096 bytes, named by an object id (up to 24 bytes) and an index.

    Calls raise NotConnected when the daemon is gone, PoolGone when the pool is, ValueError for what
    can't be a run.  A long run is cut into frames: when a call raises, some of its frames may have
    been carried out.
    """

    def __init__(self, client: Client, number: int, kind: PoolKind, name: str, pages: int) -> None:
        self._client = client
        self._number = number
        self.kind = kind
        self.name = name
        # How many pages the pool had when it was opened.
        self.pages_at_open = pages

    def put(self, object_id: bytes, index: int, buffer: Buffer) -> int:
        """Store the pages of a buffer; return how many: all, or fewer if the pool is ephemeral.

        Raises:
            PoolFull: No room in the cluster, or a quota is reached.
        """
        requests = calls.put_requests(self._number, object_id, index, buffer)
        return calls.stored_pages(self._client.call(requests))

    def put_many(self, items: Iterable[tuple[bytes, int, Buffer]]) -> int:
        """As `put` for many (object id, index, buffer), which are all taken first and then under way at once."""
        requests = (
            request for item in items for request in calls.put_requests(self._number, *item)
        )
        return calls.stored_pages(self._client.call(requests))

    def get(self, object_id: bytes, index: int, count: int = 1) -> list[bytes | None]:
        """Return a run of pages.

        None for one that was never put, was flushed, or (ephemeral) has vanished.

        Raises:
            PageLost: The last copy of some is gone; the others can be got without them.
            PageUnreachable: Some are at a peer that does not answer.
        """
        with self._client.spare(calls.check_count(count)) as buffer:
            requests = calls.get_requests(self._number, object_id, index, buffer)
            return calls.pages_of(self._client.call(requests))

    def get_into(self, object_id: bytes, index: int, buffer: Buffer) -> list[int]:
        """Fill a buffer with as many pages as it holds.

        Return the indexes that miss, whose pages are zeros.

        The pages are received right into the buffer.  Raises as `get`.
        """
        requests = calls.get_requests(self._number, object_id, index, buffer)
        return calls.missing_indexes(self._client.call(requests))

    def flush(self, object_id: bytes, index: int, count: int = 1) -> int:
        """Drop a run, however long; return how many pages there were."""
        request = calls.flush_request(self._number, object_id, index, count)
        return self._client.dropped(request)

    def flush_object(self, object_id: bytes) -> int:
        """Drop all pages of an object; return how many there were."""
        return self._client.dropped(calls.flush_object_request(self._number, object_id))

    def destroy(self) -> int:
        """Drop the pool, for every connection that has it open; return how many pages it had."""
        return self._client.dropped(calls.destroy_request(self._number))
