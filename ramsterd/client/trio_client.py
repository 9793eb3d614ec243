"""The trio client: any number of tasks share one connection, whose requests are all under way together.

One task receives.  A caller sends what the socket takes at once; the rest waits for the sending
task.
"""

import math
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self, TypeVar

import trio

from net.errors import RemoteProtocolError
from ramsterd.client import requests as calls
from ramsterd.client.errors import NotConnected
from ramsterd.client.protocol import ClientProtocol, Request, pieces_of
from ramsterd.client.requests import FRAME_PAGES, Buffer
from ramsterd.frontends.tmem.messages import HELLO_SECONDS_MAX, PAGE_BYTES, PoolKind, Welcome

T = TypeVar("T")

# Pieces of one sendmsg (IOV_MAX of limits.h), which are 2 a request.
_PIECES_MAX: Final = 1024
_CONNECT_PAUSE_SECONDS: Final = 0.02


@dataclass(slots=True, eq=False)
class _Call:
    """One call of a task: done when all its requests are."""

    left: int = 0
    is_begun: bool = False
    done: trio.Event = field(default_factory=trio.Event)

    def on_request_done(self) -> None:
        self.left -= 1
        if self.is_begun and not self.left:
            self.done.set()


class AsyncClient:
    """A connection to the daemon of this machine: `async with AsyncClient(path) as client`.

    A call that is cancelled may have been carried out or not; its buffers are free again at once.
    """

    def __init__(self, path: str | Path = "/run/ramster/tmem.sock", *, name: str = "") -> None:
        self._path = str(path)
        self._name = name
        self._protocol = ClientProtocol()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._outgoing: deque[bytes | memoryview] = deque()
        self._sender = trio.lowlevel.ParkingLot()
        # Who waits for room stands in line, or small requests would always find it before a large
        # one.
        self._turn = trio.Lock()
        self._room = trio.lowlevel.ParkingLot()
        self._lost: Exception | None = None
        self._stack = AsyncExitStack()
        self._welcome = Welcome(
            pages_per_frame_max=FRAME_PAGES,
            requests_in_flight_max=1,
            in_flight_bytes_max=FRAME_PAGES * PAGE_BYTES,
            user=-1,
        )

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            NotConnected: No daemon serves there, or it has too many clients.
            NotAllowed: The daemon's config does not allow our user.
        """
        self._stack.callback(self.close)
        try:
            await self._connect()
        except BaseException:
            await self._stack.aclose()
            raise
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        nursery.start_soon(self._receive_replies)
        nursery.start_soon(self._send_late)
        try:
            await self._greet()
        except RemoteProtocolError as error:
            await self._stack.aclose()
            raise NotConnected(f"the daemon broke the protocol: {error}") from error
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The nursery is not told of the error, which it would wrap: only our own two tasks are in
        # it.
        await self._stack.aclose()

    async def _connect(self) -> None:
        """Connect, or wait for a place in the daemon's backlog, of which a socket does not tell."""
        deadline = trio.current_time() + HELLO_SECONDS_MAX
        while True:
            try:
                self._sock.connect(self._path)
            except OSError as error:
                if not isinstance(error, BlockingIOError) or trio.current_time() >= deadline:
                    raise NotConnected(f"no daemon at {self._path}: {error}") from error
                await trio.sleep(_CONNECT_PAUSE_SECONDS)
            else:
                return

    async def _greet(self) -> None:
        request = calls.hello_request(self._name)
        with trio.move_on_after(HELLO_SECONDS_MAX) as scope:
            await self.call([request])
        if scope.cancelled_caught:
            raise NotConnected(f"no greeting within {HELLO_SECONDS_MAX:.0f} s")
        calls.raise_first([request])
        self._welcome = Welcome.parse(request.reply)

    def close(self) -> None:
        """End the connection and with it the private pools: calls under way raise NotConnected."""
        self._lose(NotConnected("the client is closed"))

    @property
    def is_connected(self) -> bool:
        """Whether calls can be made."""
        return self._lost is None

    @property
    def user(self) -> int:
        """The user id as which the daemon knows us."""
        return self._welcome.user

    async def new_pool(
        self,
        kind: PoolKind,
        *,
        name: str = "",
        codec: str = "lz4",
        exclusive_gets: bool = False,
    ) -> "AsyncPool":
        """See `Client.new_pool`."""
        request = calls.new_pool_request(kind, name, codec, is_exclusive=exclusive_gets)
        await self.call([request])
        number, pages = self._checked(calls.opened_pool, request)
        return AsyncPool(self, number, kind, name, pages)

    async def status(self) -> dict[str, int]:
        """See `Client.status`."""
        request = calls.status_request()
        await self.call([request])
        return self._checked(calls.status_of, request)

    # For pools.

    async def dropped(self, request: Request) -> int:
        """Carry out a flush or a destroy; return how many pages it dropped."""
        await self.call([request])
        return self._checked(calls.dropped_pages, request)

    async def call(self, requests: Iterable[Request]) -> list[Request]:
        """Carry out requests, as many at a time as the daemon takes; return them, all done.

        What making the requests raises is raised before the first is sent.
        """
        requests = list(requests)
        call = _Call()
        try:
            for request in requests:
                if self._turn.locked() or self._is_full(request):
                    await self._wait_for_room(request)
                self._raise_if_lost()
                request.waiter = call
                call.left += 1
                self._outgoing += pieces_of(request, self._protocol.begin(request))
                if not self._send_now():
                    self._sender.unpark()
            call.is_begun = True
            if call.left:
                await call.done.wait()
        except BaseException:
            self._abandon(requests)
            raise
        if not all(request.is_done for request in requests):
            self._raise_if_lost()
        return requests

    async def _wait_for_room(self, request: Request) -> None:
        async with self._turn:
            while self._lost is None and self._is_full(request):
                await self._room.park()

    def _is_full(self, request: Request) -> bool:
        protocol, welcome = self._protocol, self._welcome
        return bool(protocol.waiting) and (
            len(protocol.waiting) >= welcome.requests_in_flight_max
            or protocol.in_flight_bytes + request.in_flight_bytes > welcome.in_flight_bytes_max
        )

    def _abandon(self, requests: list[Request]) -> None:
        """The buffers of these requests are the caller's again: keep copies of what is still needed."""
        for request in requests:
            if not request.request_id:
                break  # this one and all after it were not begun
            self._protocol.abandon(request)
        if any(request.body is not None for request in requests):
            self._outgoing = deque(bytes(piece) for piece in self._outgoing)

    def _checked(self, read: Callable[[Request], T], request: Request) -> T:
        """Return what a reply says; one that says nothing sensible ends the connection."""
        try:
            return read(request)
        except RemoteProtocolError as error:
            self._lose(NotConnected(f"the daemon broke the protocol: {error}"))
            self._raise_lost()

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            self._raise_lost()

    def _raise_lost(self) -> NoReturn:
        assert self._lost is not None
        # A new one for each task, for a traceback belongs to one.
        raise type(self._lost)(str(self._lost))

    def _lose(self, error: Exception) -> None:
        """End everything: the first reason counts."""
        if self._lost is not None:
            return
        self._lost = error
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
        self._outgoing.clear()
        for request in list(self._protocol.waiting.values()):
            call = request.waiter
            if isinstance(call, _Call):
                call.done.set()
        self._room.unpark(count=math.inf)

    def _send_now(self) -> bool:
        """Send what the socket takes; return whether that was all."""
        outgoing = self._outgoing
        while outgoing:
            pieces = [outgoing[number] for number in range(min(len(outgoing), _PIECES_MAX))]
            try:
                count = self._sock.sendmsg(pieces)
            except BlockingIOError:
                return False
            except OSError:
                # The receiver learns why, and what the daemon still said.
                outgoing.clear()
                return True
            while outgoing and count >= len(outgoing[0]):
                count -= len(outgoing.popleft())
            if count:
                outgoing[0] = memoryview(outgoing[0])[count:]
        return True

    async def _send_late(self) -> None:
        """Send what callers could not, until the connection ends."""
        while self._lost is None:
            if self._send_now():
                await self._sender.park()
            else:
                try:
                    await trio.lowlevel.wait_writable(self._sock)
                except trio.ClosedResourceError:
                    return

    async def _receive_replies(self) -> None:
        """Receive until the connection ends."""
        reason = "the daemon closed the connection"
        try:
            while count := await self._receive():
                for request in self._protocol.on_received(count):
                    call = request.waiter
                    if isinstance(call, _Call):
                        call.on_request_done()
                self._room.unpark(count=math.inf)
        except trio.ClosedResourceError:
            return
        except OSError as error:
            reason = str(error)
        except RemoteProtocolError as error:
            reason = f"the daemon broke the protocol: {error}"
        farewell = self._protocol.farewell
        self._lose(NotConnected(reason) if farewell is None else calls.error_of(farewell))

    async def _receive(self) -> int:
        while True:
            try:
                return self._sock.recv_into(self._protocol.space())
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)


class AsyncPool:
    """See `ramsterd.client.Pool`; calls of many tasks are under way together, in no order."""

    def __init__(
        self, client: AsyncClient, number: int, kind: PoolKind, name: str, pages: int
    ) -> None:
        self._client = client
        self._number = number
        self.kind = kind
        self.name = name
        self.pages_at_open = pages

    async def put(self, object_id: bytes, index: int, buffer: Buffer) -> int:
        """See `Pool.put`.  The buffer must not change before this returns."""
        requests = calls.put_requests(self._number, object_id, index, buffer)
        return calls.stored_pages(await self._client.call(requests))

    async def put_many(self, items: Iterable[tuple[bytes, int, Buffer]]) -> int:
        """See `Pool.put_many`."""
        requests = (
            request for item in items for request in calls.put_requests(self._number, *item)
        )
        return calls.stored_pages(await self._client.call(requests))

    async def get(self, object_id: bytes, index: int, count: int = 1) -> list[bytes | None]:
        """See `Pool.get`."""
        buffer = bytearray(calls.check_count(count))
        requests = calls.get_requests(self._number, object_id, index, buffer)
        return calls.pages_of(await self._client.call(requests))

    async def get_into(self, object_id: bytes, index: int, buffer: Buffer) -> list[int]:
        """See `Pool.get_into`."""
        requests = calls.get_requests(self._number, object_id, index, buffer)
        return calls.missing_indexes(await self._client.call(requests))

    async def flush(self, object_id: bytes, index: int, count: int = 1) -> int:
        """See `Pool.flush`."""
        return await self._client.dropped(
            calls.flush_request(self._number, object_id, index, count)
        )

    async def flush_object(self, object_id: bytes) -> int:
        """See `Pool.flush_object`."""
        return await self._client.dropped(calls.flush_object_request(self._number, object_id))

    async def destroy(self) -> int:
        """See `Pool.destroy`."""
        return await self._client.dropped(calls.destroy_request(self._number))
