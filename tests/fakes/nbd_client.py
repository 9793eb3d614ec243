"""A client of a whole connection over a socket pair: what it says goes in, what it is told comes out.

It speaks the specification's words by itself, without the code under test, and reads whatever is answered.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from config.limits import PAGE_BYTES
from ramsterd.core.page import PoolId
from ramsterd.frontends.clients.exchange import Ended
from ramsterd.frontends.nbd.connection import Clients, Connection
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import (
    Command,
    CommandFlag,
    Errno,
    Info,
    Option,
    OptionReply,
    TransmissionFlag,
)
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import Structured, parse_structured, request

MIB = 1 << 20
PAGE = b"p" * PAGE_BYTES
DISK = Export(name="disk", size=64 * MIB, description="a disk", pool=PoolId(1), object_id=b"d")
SAFE = Export(name="safe", size=MIB, pool=PoolId(1), object_id=b"s", is_replicated=True)
FIXED_ONLY = Export(name="rom", size=MIB, pool=PoolId(1), object_id=b"r", is_read_only=True)
EXPORTS = [DISK, SAFE, FIXED_ONLY]
GREETING = b"NBDMAGICIHAVEOPT\x00\x03"
CHANGES = [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES]
FUA = CommandFlag.FUA

Replies = list[tuple[OptionReply, bytes]]


class Client:
    """The other end of a connection that is being served."""

    def __init__(self, stream: trio.SocketStream, pager: FakePager) -> None:
        self.stream = stream
        self.pager = pager
        self.ended: Ended[End] | None = None
        self._cookie = 0

    async def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            some = await self.stream.receive_some(count - len(data))
            assert some, "the server closed the connection"
            data += some
        return data

    async def receive_rest(self) -> bytes:
        """Return what is sent before the server closes."""
        data = b""
        while some := await self.stream.receive_some():
            data += some
        return data

    async def greet(self, flags: int = 3) -> None:
        assert await self.receive(len(GREETING)) == GREETING
        await self.stream.send_all(struct.pack(">I", flags))

    async def say_option(self, number: int, data: bytes = b"") -> None:
        await self.stream.send_all(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)

    async def option(self, number: int, data: bytes = b"") -> Replies:
        """Return all replies to an option; the last is final."""
        await self.say_option(number, data)
        return await self.read_option(number)

    async def read_option(self, number: int) -> Replies:
        """Return all replies to an option that was said."""
        replies: Replies = []
        while not replies or replies[-1][0] in {
            OptionReply.SERVER,
            OptionReply.INFO,
            OptionReply.META_CONTEXT,
        }:
            magic, to, kind, count = struct.unpack(">QIII", await self.receive(20))
            assert (magic, to) == (0x3E889045565A9, number)
            replies.append((OptionReply(kind), await self.receive(count)))
        return replies

    async def go(
        self, name: str = "disk", *, structured: bool = True, allocation: bool = True
    ) -> None:
        """Shake hands up to the transmission."""
        await self.greet()
        if structured:
            await self.option(Option.STRUCTURED_REPLY)
            if allocation:
                await self.option(Option.SET_META_CONTEXT, contexts(name, "base:allocation"))
        assert (await self.option(Option.GO, named(name)))[-1] == (OptionReply.ACK, b"")

    async def answer(self, cookie: int) -> Structured | Errno:
        """Return the next whole answer, which must be to this cookie."""
        data = b""
        while True:
            head = await self.receive(16)
            if head[:4] == b"\x67\x44\x66\x98":
                data += head
                break
            head += await self.receive(4)
            flags, count = struct.unpack(">4xH10xI", head)
            data += head + await self.receive(count)
            if flags:
                break
        ((found, answer),) = parse_structured(data).items()
        assert found == cookie
        return answer

    async def ask(
        self,
        command: int,
        offset: int = 0,
        length: int = 0,
        *,
        flags: int = 0,
        payload: bytes = b"",
    ) -> Structured | Errno:
        """Ask and return the answer, with structured replies."""
        cookie = await self.say(command, offset, length, flags=flags, payload=payload)
        return await self.answer(cookie)

    async def say(
        self,
        command: int,
        offset: int = 0,
        length: int = 0,
        *,
        flags: int = 0,
        payload: bytes = b"",
    ) -> int:
        self._cookie += 1
        said = request(
            command, self._cookie, offset, length or len(payload), flags=flags, payload=payload
        )
        await self.stream.send_all(said)
        return self._cookie

    async def errno(
        self,
        command: int,
        offset: int = 0,
        length: int = 0,
        *,
        flags: int = 0,
        payload: bytes = b"",
    ) -> Errno:
        answer = await self.ask(command, offset, length, flags=flags, payload=payload)
        return answer if isinstance(answer, Errno) else answer.errno

    async def read(self, offset: int, length: int, *, flags: int = 0) -> Structured:
        answer = await self.ask(Command.READ, offset, length, flags=flags)
        assert isinstance(answer, Structured)
        return answer

    async def is_usable(self) -> bool:
        """Whether the connection still does its work."""
        return await self.errno(Command.WRITE, MIB - 4096, payload=PAGE) == 0

    async def wait(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(10):
            while not condition():
                await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def served(pager: FakePager | None = None) -> AsyncIterator[Client]:
    """A client of a server; the server is ended with the block."""
    ours, theirs = socket.socketpair()
    pager = FakePager() if pager is None else pager
    clients = Clients(64, Counters(), EXPORTS)
    pager.call_settled(clients.on_settled)
    client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), pager)

    async def serve() -> None:
        with ours:
            ours.setblocking(False)
            client.ended = await Connection(ours, EXPORTS, pager, clients).serve()

    with trio.fail_after(30):
        async with client.stream, trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield client
            nursery.cancel_scope.cancel()


def named(name: str, *kinds: int) -> bytes:
    body = struct.pack(">I", len(name)) + name.encode()
    return body + struct.pack(f">H{len(kinds)}H", len(kinds), *kinds)


def contexts(name: str, *queries: str) -> bytes:
    body = struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(queries))
    return body + b"".join(struct.pack(">I", len(each)) + each.encode() for each in queries)


def export_of(replies: Replies) -> tuple[int, TransmissionFlag]:
    """Return size and flags of an answer to INFO or GO."""
    for kind, body in replies:
        if kind is OptionReply.INFO and body[:2] == struct.pack(">H", Info.EXPORT):
            size, flags = struct.unpack(">QH", body[2:])
            return size, TransmissionFlag(flags)
    raise AssertionError("no NBD_INFO_EXPORT")
