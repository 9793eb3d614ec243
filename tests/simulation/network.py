"""A network in memory that keeps the promises of `net.transport`, in virtual time.

Links are byte streams: it may delay (keeping order), clog one way, or cut; it never drops, repeats or
reorders.  `tests/contract` holds it and TCP to the same tests.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final

import trio

from net.errors import PeerLost
from net.transport import Closing, Piece, PortStatus, Stream

# As much as a small socket buffer: enough for several frames, small enough that tests meet its end.
PIPE_BYTES_MAX: Final = 256 * 1024


class Pipe:
    """One direction of a connection: a bounded buffer of bytes with a time of arrival each."""

    def __init__(self, *, capacity_bytes: int, delay_seconds: float) -> None:
        self.capacity_bytes = capacity_bytes
        self.delay_seconds = delay_seconds
        self.is_clogged = False
        self.is_ended = False
        self.is_broken = False
        # Broken, and the writer does not know: what it writes is gone.
        self.is_unheard = False
        self._chunks: list[tuple[float, bytearray]] = []
        self._held_bytes = 0
        self._changed = trio.Event()

    def change(self) -> None:
        """Wake who waits on this pipe, at either end."""
        self._changed.set()
        self._changed = trio.Event()

    def write(self, pieces: Sequence[Piece]) -> int:
        room = self.capacity_bytes - self._held_bytes
        taken = bytearray()
        for piece in pieces:
            if len(taken) >= room:
                break
            taken += memoryview(piece)[: room - len(taken)]
        if taken and not self.is_unheard:
            self._held_bytes += len(taken)
            self._chunks.append((trio.current_time() + self.delay_seconds, taken))
            self.change()
        return len(taken)

    async def read_into(self, target: memoryview) -> int:
        while True:
            if self.is_broken:
                raise PeerLost("the connection was cut")
            arrives_at = self._chunks[0][0] if self._chunks else math.inf
            if not self.is_clogged:
                if arrives_at <= trio.current_time():
                    return self._take(target)
                if self.is_ended and not self._chunks:
                    return 0
            changed = self._changed
            with trio.move_on_at(math.inf if self.is_clogged else arrives_at):
                await changed.wait()

    def _take(self, target: memoryview) -> int:
        chunk = self._chunks[0][1]
        taken = min(len(chunk), len(target))
        target[:taken] = chunk[:taken]
        del chunk[:taken]
        if not chunk:
            del self._chunks[0]
        self._held_bytes -= taken
        self.change()
        return taken

    async def wait_writable(self) -> None:
        while self._held_bytes >= self.capacity_bytes and not (self.is_broken or self.is_ended):
            await self._changed.wait()


class SimStream:
    """One end of a connection."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.is_closed = False

    async def receive_into(self, target: memoryview) -> int:
        assert len(target) > 0
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise PeerLost("the stream is closed")
        return await self._incoming.read_into(target)

    def send_nowait(self, pieces: Sequence[Piece]) -> int:
        if self.is_closed:
            raise PeerLost("the stream is closed")
        if self._outgoing.is_broken and not self._outgoing.is_unheard:
            raise PeerLost("the connection was cut")
        return self._outgoing.write(pieces)

    async def wait_sendable(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise PeerLost("the stream is closed")
        await self._outgoing.wait_writable()
        if self.is_closed:
            raise PeerLost("the stream was closed")

    def close(self) -> None:
        """Close: what was sent still arrives, then the end; what was not received is gone."""
        if not self.is_closed:
            self.is_closed = True
            self._outgoing.is_ended = True
            self._incoming.is_broken = True
            self._outgoing.change()
            self._incoming.change()


class SimConnection:
    """Both ends, and what a test may do to the wire between them."""

    def __init__(self, *, capacity_bytes: int = PIPE_BYTES_MAX, delay_seconds: float = 0.0) -> None:
        self.there = Pipe(capacity_bytes=capacity_bytes, delay_seconds=delay_seconds)
        self.back = Pipe(capacity_bytes=capacity_bytes, delay_seconds=delay_seconds)
        self.dialed = SimStream(self.back, self.there)
        self.accepted = SimStream(self.there, self.back)

    def clog(self, *, there: bool = True, back: bool = True) -> None:
        """Hold bytes, silently; `clog(there=False, back=False)` heals."""
        self.there.is_clogged, self.back.is_clogged = there, back
        self.there.change()
        self.back.change()

    def cut(self) -> None:
        """Break the connection at both ends at once; bytes under way are gone."""
        for pipe in (self.there, self.back):
            pipe.is_broken = True
            pipe.change()

    def break_dialed_end(self) -> None:
        """Reset the dialling side's end, and lose the RST: the accepting side hears nothing any more."""
        self._break_end(incoming=self.back, outgoing=self.there)

    def break_accepted_end(self) -> None:
        """Reset the accepting side's end, and lose the RST: the dialling side hears nothing any more."""
        self._break_end(incoming=self.there, outgoing=self.back)

    def _break_end(self, *, incoming: Pipe, outgoing: Pipe) -> None:
        outgoing.is_clogged = True
        incoming.is_broken = incoming.is_unheard = True
        incoming.change()


class SimNetwork:
    """A `net.transport.Transport` for any number of nodes: an address and a port name a listener."""

    def __init__(self, *, capacity_bytes: int = PIPE_BYTES_MAX, delay_seconds: float = 0.0) -> None:
        self.capacity_bytes = capacity_bytes
        self.delay_seconds = delay_seconds
        # Every connection ever made, the latest last.
        self.connections: list[SimConnection] = []
        # Addresses that answer no dial and refuse none, as a machine without power.
        self.dark: set[str] = set()
        self._listeners: dict[tuple[str, int], Callable[[SimStream], None]] = {}
        self._free_ports = count(50_000)

    async def dial(self, address: str, port: int) -> Stream:
        await trio.lowlevel.checkpoint()
        if address in self.dark:
            await trio.sleep_forever()
        await trio.sleep(self.delay_seconds)
        offer = self._listeners.get((address, port))
        if offer is None:
            raise PeerLost(f"nobody listens at {address} port {port}")
        made = SimConnection(capacity_bytes=self.capacity_bytes, delay_seconds=self.delay_seconds)
        self.connections.append(made)
        offer(made.accepted)
        return made.dialed

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[[Stream], Awaitable[None]],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        port = port or next(self._free_ports)
        if (address, port) in self._listeners:
            raise OSError(f"{address} port {port} is in use")

        async def serve(stream: SimStream) -> None:
            try:
                await accept(stream)
            except Exception:  # noqa: S110  the promise: a handler's fault ends one connection only
                pass
            finally:
                stream.close()

        async with trio.open_nursery() as nursery:

            def offer(stream: SimStream) -> None:
                nursery.start_soon(serve, stream)

            self._listeners[address, port] = offer
            try:
                task_status.started(port)
                await (trio.Event() if closing is None else closing).wait()
            finally:
                del self._listeners[address, port]
