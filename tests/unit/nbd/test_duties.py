"""The duties of a server, as NBD's specification lists them (NetworkBlockDevice/nbd, doc/proto.md): one a test.

Each docstring names the section.  Everything here goes through a whole connection over a socket pair: what a
client says goes in, what it is told comes out.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from config.limits import PAGE_BYTES
from ramsterd.core.page import PoolId
from ramsterd.nbd.connection import Clients, Connection, Ended
from ramsterd.nbd.counters import Counters, End
from ramsterd.nbd.export import Export
from ramsterd.nbd.protocol import (
    OPTION_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    Errno,
    Info,
    Option,
    OptionReply,
    ReplyType,
    TransmissionFlag,
)
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import Structured, parse_structured, request, write

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
        self.ended: Ended | None = None
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
    clients = Clients(64, Counters())
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


# The handshake.


async def test_the_server_speaks_first_and_offers_fixed_newstyle() -> None:
    """Handshake phase, Flag fields, Handshake flags: bit 0 MUST be set; no others than 0 and 1."""
    async with served() as client:
        assert await client.receive(len(GREETING)) == GREETING


async def test_unknown_client_flags_drop_the_connection() -> None:
    """Client flags: the server MUST drop the connection if the client sets an unknown flag."""
    async with served() as client:
        await client.greet(flags=3 | 1 << 7)
        assert await client.receive_rest() == b""


async def test_zeroes_follow_export_name_unless_both_sides_said_no() -> None:
    """Newstyle negotiation: 124 bytes of zeroes, unless NBD_FLAG_C_NO_ZEROES was negotiated."""
    for flags, padding in ((3, 0), (1, 124)):
        async with served() as client:
            await client.greet(flags)
            await client.say_option(Option.EXPORT_NAME, b"disk")
            assert struct.unpack(">Q", (await client.receive(10))[:8]) == (DISK.size,)
            assert await client.receive(padding) == bytes(padding)
            await client.stream.send_all(write(1, 0, PAGE))
            assert await client.answer(1) is Errno.NONE


async def test_an_export_that_cannot_be_had_ends_the_session() -> None:
    """NBD_OPT_EXPORT_NAME: if the export does not exist, the server MUST terminate the session."""
    async with served() as client:
        await client.greet()
        await client.say_option(Option.EXPORT_NAME, b"other")
        assert await client.receive_rest() == b""


async def test_the_empty_name_is_the_default_export() -> None:
    """NBD_OPT_EXPORT_NAME: the empty name is reserved for a default export."""
    async with served() as client:
        await client.greet()
        assert export_of(await client.option(Option.GO, named("")))[0] == DISK.size


async def test_an_unknown_option_is_unsupported_and_the_next_is_understood() -> None:
    """Baseline: MUST reply NBD_REP_ERR_UNSUP, and MUST NOT fail to parse the next message."""
    async with served() as client:
        await client.greet()
        for number in (4, 11, 4711):
            assert (await client.option(number, b"any data"))[0][0] is OptionReply.ERR_UNSUP
        assert (await client.option(Option.LIST))[-1][0] is OptionReply.ACK


async def test_an_option_too_long_is_told_so_and_the_next_is_understood() -> None:
    """Option reply types: NBD_REP_ERR_TOO_BIG, the request is too large to process."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(4711, bytes(OPTION_BYTES_MAX + 1))
        assert kind is OptionReply.ERR_TOO_BIG
        assert (await client.option(Option.LIST))[-1][0] is OptionReply.ACK


async def test_abort_is_acknowledged_and_ends_the_session() -> None:
    """NBD_OPT_ABORT: the server MUST reply with NBD_REP_ACK."""
    async with served() as client:
        await client.greet()
        assert await client.option(Option.ABORT) == [(OptionReply.ACK, b"")]
        assert await client.receive_rest() == b""


async def test_list_names_every_export_and_ends_with_an_ack() -> None:
    """NBD_OPT_LIST: zero or more NBD_REP_SERVER, one for each export, followed by NBD_REP_ACK."""
    async with served() as client:
        await client.greet()
        assert await client.option(Option.LIST) == [
            (OptionReply.SERVER, b"\0\0\0\x04diska disk"),
            (OptionReply.SERVER, b"\0\0\0\x04safe"),
            (OptionReply.SERVER, b"\0\0\0\x03rom"),
            (OptionReply.ACK, b""),
        ]


async def test_list_with_data_is_invalid() -> None:
    """NBD_REP_ERR_INVALID: for instance an NBD_OPT_LIST with nonzero data length."""
    async with served() as client:
        await client.greet()
        assert (await client.option(Option.LIST, b"x"))[0][0] is OptionReply.ERR_INVALID


async def test_starttls_is_refused_without_asking_for_tls() -> None:
    """NOTLS mode: MUST respond with POLICY or UNSUP, and MUST NOT say TLS_REQD to anything."""
    async with served() as client:
        await client.greet()
        assert (await client.option(Option.STARTTLS))[0][0] is OptionReply.ERR_UNSUP


async def test_an_unknown_export_is_told_and_gives_no_information() -> None:
    """NBD_OPT_INFO: NBD_REP_ERR_UNKNOWN, and SHOULD NOT send NBD_REP_INFO."""
    async with served() as client:
        await client.greet()
        for number in (Option.INFO, Option.GO):
            ((kind, _),) = await client.option(number, named("other"))
            assert kind is OptionReply.ERR_UNKNOWN


async def test_go_after_info_says_the_same() -> None:
    """NBD_OPT_INFO: GO with the same parameters MUST reply with the same set of information."""
    async with served() as client:
        await client.greet()
        asked = named("disk", *Info)
        assert await client.option(Option.INFO, asked) == await client.option(Option.GO, asked)


async def test_info_tells_the_block_sizes() -> None:
    """NBD_INFO_BLOCK_SIZE and Block size constraints: powers of two, the maximum at least 1 MiB."""
    async with served() as client:
        await client.greet()
        replies = await client.option(Option.INFO, named("disk", Info.BLOCK_SIZE))
        bodies = [body for _, body in replies if body[:2] == struct.pack(">H", Info.BLOCK_SIZE)]
        assert bodies == [struct.pack(">HIII", Info.BLOCK_SIZE, 1, PAGE_BYTES, PAYLOAD_BYTES_MAX)]


async def test_info_tells_name_and_description_when_asked() -> None:
    """NBD_INFO_NAME, NBD_INFO_DESCRIPTION: the same as in NBD_OPT_LIST."""
    async with served() as client:
        await client.greet()
        asked = named("", Info.NAME, Info.DESCRIPTION)
        bodies = [body for _, body in await client.option(Option.INFO, asked)]
        assert b"\0\x01disk" in bodies
        assert b"\0\x02a disk" in bodies


async def test_malformed_info_is_invalid_and_leaves_the_session_usable() -> None:
    """NBD_REP_ERR_INVALID: the option was determined to be syntactically invalid."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.GO, b"\0\0\1\0disk\0\0")
        assert kind is OptionReply.ERR_INVALID
        assert (await client.option(Option.GO, named("disk")))[-1][0] is OptionReply.ACK


async def test_df_is_offered_with_structured_replies_only() -> None:
    """NBD_FLAG_SEND_DF: MUST be clear if structured replies have not been negotiated."""
    async with served() as client:
        await client.greet()
        df = TransmissionFlag.SEND_DF
        assert not export_of(await client.option(Option.INFO, named("disk")))[1] & df
        await client.option(Option.STRUCTURED_REPLY)
        assert export_of(await client.option(Option.INFO, named("disk")))[1] & df


async def test_structured_reply_with_data_is_invalid() -> None:
    """NBD_OPT_STRUCTURED_REPLY: SHOULD reject a request that includes data with INVALID."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.STRUCTURED_REPLY, b"x")
        assert kind is OptionReply.ERR_INVALID


async def test_contexts_need_structured_replies() -> None:
    """NBD_OPT_SET_META_CONTEXT: without structured replies SHOULD send NBD_REP_ERR_INVALID."""
    async with served() as client:
        await client.greet()
        ((kind, _),) = await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:x"))
        assert kind is OptionReply.ERR_INVALID


async def test_all_contexts_are_listed_without_a_query_and_by_wildcard() -> None:
    """NBD_OPT_LIST_META_CONTEXT: zero queries MUST return all; `base:` is a wildcard."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        for queries in ((), ("base:",)):
            replies = await client.option(Option.LIST_META_CONTEXT, contexts("disk", *queries))
            assert replies == [
                (OptionReply.META_CONTEXT, b"\0\0\0\0base:allocation"),
                (OptionReply.ACK, b""),
            ]


async def test_queries_of_other_namespaces_are_ignored() -> None:
    """NBD_OPT_LIST_META_CONTEXT: MUST ignore unknown namespaces; nothing found is a single ACK."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        for number in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            replies = await client.option(number, contexts("disk", "qemu:x", "base:unheard-of"))
            assert replies == [(OptionReply.ACK, b"")]


async def test_a_selection_ignores_the_wildcard() -> None:
    """The base: namespace: the server MUST ignore `base:` during NBD_OPT_SET_META_CONTEXT."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        replies = await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:"))
        assert replies == [(OptionReply.ACK, b"")]


async def test_a_malformed_query_is_invalid() -> None:
    """NBD_OPT_LIST_META_CONTEXT: a query length beyond the option's MUST fail with INVALID."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        cut = contexts("disk", "base:allocation")[:-3]
        for number in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            assert (await client.option(number, cut))[0][0] is OptionReply.ERR_INVALID


async def test_a_failed_selection_clears_the_one_before() -> None:
    """NBD_OPT_SET_META_CONTEXT: replaces all previously-set contexts, including when it fails."""
    async with served() as client:
        await client.greet()
        await client.option(Option.STRUCTURED_REPLY)
        await client.option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation"))
        await client.option(Option.SET_META_CONTEXT, b"malformed")
        await client.option(Option.GO, named("disk"))
        assert await client.errno(Command.BLOCK_STATUS, 0, 4096) is Errno.EINVAL


# Replies.


async def test_without_negotiation_only_simple_replies_are_sent() -> None:
    """Structured reply chunk message: MUST NOT send this reply type unless negotiated."""
    async with served() as client:
        await client.go(structured=False)
        await client.stream.send_all(request(Command.READ, 7, 0, 4096) + request(9, 8))
        data = await client.receive(16 + 4096 + 16)
        assert data[:16] == struct.pack(">IIQ", 0x67446698, 0, 7)
        assert data[16 + 4096 :] == struct.pack(">IIQ", 0x67446698, Errno.EINVAL, 8)


async def test_a_failed_simple_read_has_no_payload() -> None:
    """NBD_CMD_READ, Simple replies: on an error it MUST NOT send any payload for this request."""
    async with served() as client:
        await client.go(structured=False)
        client.pager.lost.add(0)
        await client.stream.send_all(request(Command.READ, 1, 0, 4096) + write(2, 8192, PAGE))
        assert await client.answer(1) is Errno.EIO
        assert await client.answer(2) is Errno.NONE


async def test_a_read_is_structured_even_when_it_fails_early() -> None:
    """Structured replies: MUST NOT use a simple reply for NBD_CMD_READ, even for an early EINVAL."""
    async with served() as client:
        await client.go()
        for flags, offset in ((0x8000, 0), (0, DISK.size), (0, 1 << 63)):
            answer = await client.read(offset, 4096, flags=flags)
            assert (answer.types, answer.errno) == ([ReplyType.ERROR], Errno.EINVAL)
            assert answer.message


async def test_a_read_carries_holes_as_holes() -> None:
    """NBD_REPLY_TYPE_OFFSET_HOLE: enough chunks to cover the region, none overlapping."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 8192, payload=PAGE * 2)
        answer = await client.read(0, 6 * 4096)
        hole, data = ReplyType.OFFSET_HOLE, ReplyType.OFFSET_DATA
        assert answer.types == [hole, data, hole]
        assert answer.content == bytes(8192) + PAGE * 2 + bytes(8192)


async def test_an_unfragmented_read_is_one_chunk_of_data() -> None:
    """NBD_CMD_FLAG_DF: at most one content chunk, with the zeroes explicitly present."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 8192, payload=PAGE)
        for length in (65536, 4 * SLICE_PAGES * PAGE_BYTES):
            answer = await client.read(0, length, flags=CommandFlag.DF)
            assert answer.types == [ReplyType.OFFSET_DATA]
            assert answer.content == bytes(8192) + PAGE + bytes(length - 8192 - 4096)


async def test_df_without_structured_replies_is_invalid() -> None:
    """NBD_CMD_FLAG_DF: MUST NOT be set unless the transmission flags include NBD_FLAG_SEND_DF."""
    async with served() as client:
        await client.go(structured=False)
        await client.stream.send_all(request(Command.READ, 1, 0, 512, flags=CommandFlag.DF))
        assert await client.answer(1) is Errno.EINVAL


@pytest.mark.slow
async def test_the_longest_read_is_complete_and_ends_with_done() -> None:
    """NBD_REPLY_FLAG_DONE: set in the final chunk, and in no earlier one."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 4095, payload=PAGE)
        answer = await client.read(1, PAYLOAD_BYTES_MAX)
        assert answer.is_done
        assert answer.types[-1] is ReplyType.NONE
        assert answer.content == bytes(4094) + PAGE + bytes(PAYLOAD_BYTES_MAX - 8190)


async def test_an_error_late_in_a_long_read_is_told_after_the_chunks_before_it() -> None:
    """NBD_CMD_READ, Structured replies: MUST include an error chunk, MAY omit further content."""
    async with served() as client:
        await client.go()
        client.pager.lost.add(3 * SLICE_PAGES)
        answer = await client.read(0, 4 * MIB)
        assert answer.types[-1] is ReplyType.ERROR
        assert answer.errno is Errno.EIO
        assert await client.is_usable()


async def test_replies_carry_the_cookie_of_their_request_whatever_it_is() -> None:
    """Transmission: in each reply the server MUST use the same value for handle."""
    async with served() as client:
        await client.go()
        for cookie in (0, 1 << 63, (1 << 64) - 1):
            await client.stream.send_all(request(Command.READ, cookie, 0, 4096))
            await client.answer(cookie)


async def test_replies_may_leave_out_of_order_and_none_is_lost() -> None:
    """Transmission: requests may be handled asynchronously; one that waits holds up no other."""
    async with served() as client:
        await client.go()
        client.pager.is_delaying = True
        slow = await client.say(Command.READ, 0, 4096)
        await client.wait(lambda: client.pager.delayed)
        client.pager.is_delaying = False
        assert (await client.read(4096, 4096)).content == bytes(4096)
        client.pager.release()
        answer = await client.answer(slow)
        assert isinstance(answer, Structured)
        assert answer.content == bytes(4096)


# Commands.


async def test_what_is_written_is_read() -> None:
    """NBD_CMD_WRITE: the server MUST write the data, and then send the reply message."""
    async with served() as client:
        await client.go()
        assert await client.errno(Command.WRITE, 5000, payload=b"data") is Errno.NONE
        assert (await client.read(4999, 6)).content == b"\0data\0"


@pytest.mark.slow
async def test_the_longest_write_is_taken() -> None:
    """Block size constraints: the maximum that was advertised is what a request may have."""
    async with served() as client:
        await client.go()
        payload = bytes(range(256)) * (PAYLOAD_BYTES_MAX // 256)
        assert await client.errno(Command.WRITE, 3, payload=payload) is Errno.NONE
        assert (await client.read(3, PAYLOAD_BYTES_MAX)).content == payload


async def test_a_write_over_the_maximum_is_invalid_and_the_connection_stays_usable() -> None:
    """Block size constraints: SHOULD report EINVAL if larger than the advertised maximum."""
    async with served() as client:
        await client.go()
        payload = bytes(PAYLOAD_BYTES_MAX + 1)
        assert await client.errno(Command.WRITE, 0, payload=payload) is Errno.EINVAL
        assert await client.is_usable()
        assert len(client.pager.pages) == 1


async def test_a_write_of_four_gigabytes_is_refused_without_reading_it() -> None:
    """Block size constraints: MAY disconnect if the payload is large enough to be an attack."""
    async with served() as client:
        await client.go()
        length = (1 << 32) - 1
        assert length > REFUSED_PAYLOAD_BYTES_MAX
        cookie = await client.say(Command.WRITE, 0, length)
        answer = await client.answer(cookie)
        assert isinstance(answer, Structured)
        assert answer.errno is Errno.EINVAL
        assert await client.receive_rest() == b""
        assert client.ended is not None
        assert client.ended.end is End.GARBAGE


@pytest.mark.parametrize("command", [Command.READ, Command.CACHE])
async def test_other_requests_over_the_maximum_are_invalid(command: Command) -> None:
    """Block size constraints: SHOULD merely fail the command with EINVAL."""
    async with served() as client:
        await client.go()
        for length in (PAYLOAD_BYTES_MAX + 1, (1 << 32) - 1):
            assert await client.errno(command, 0, length) is Errno.EINVAL
        assert await client.is_usable()


async def test_disconnect_has_no_reply_and_waits_for_what_is_outstanding() -> None:
    """NBD_CMD_DISC: MUST handle all outstanding requests and close; there is no reply."""
    async with served() as client:
        await client.go()
        client.pager.is_delaying = True
        cookie = await client.say(Command.WRITE, 0, payload=PAGE)
        await client.say(Command.DISC)
        await client.wait(lambda: client.pager.delayed)
        client.pager.release()
        assert await client.answer(cookie) is Errno.NONE
        assert await client.receive_rest() == b""


async def test_flush_is_answered_and_must_have_no_range() -> None:
    """NBD_CMD_FLUSH: length and offset are reserved, and MUST be set to all-zero."""
    async with served() as client:
        await client.go()
        assert await client.errno(Command.FLUSH) is Errno.NONE
        assert await client.errno(Command.FLUSH, 0, 1) is Errno.EINVAL
        assert await client.errno(Command.FLUSH, 4096) is Errno.EINVAL
        assert await client.is_usable()


async def test_flush_of_a_replicated_export_waits_for_the_peers() -> None:
    """Ordering of messages and writes: what was replied to before MUST be safe before the reply."""
    async with served() as client:
        await client.go("safe")
        client.pager.is_replicating = True
        assert await client.errno(Command.WRITE, 0, payload=PAGE) is Errno.NONE
        cookie = await client.say(Command.FLUSH)
        await client.wait(lambda: client.pager.replicating)
        # A flush holds up nothing.
        assert (await client.read(0, 4096)).content == PAGE
        assert [each for each, _ in client.pager.replicating] == [range(MIB // 4096)]
        client.pager.on_replicated(is_success=True)
        assert await client.answer(cookie) is Errno.NONE


async def test_a_flush_that_fails_is_told() -> None:
    """NBD_CMD_FLUSH: MUST NOT send a successful reply before writes are safe."""
    async with served() as client:
        await client.go("safe")
        client.pager.is_replicating = True
        cookie = await client.say(Command.FLUSH)
        await client.wait(lambda: client.pager.replicating)
        client.pager.on_replicated(is_success=False)
        answer = await client.answer(cookie)
        assert isinstance(answer, Structured)
        assert answer.errno is Errno.EIO


@pytest.mark.parametrize("command", CHANGES)
async def test_fua_on_a_replicated_export_waits_for_the_peers(command: Command) -> None:
    """NBD_CMD_FLAG_FUA: MUST NOT send its reply until all its write operations are persisted."""
    async with served() as client:
        await client.go("safe")
        client.pager.is_replicating = True
        payload = bytes(6000) if command is Command.WRITE else b""
        cookie = await client.say(command, 4000, 6000, flags=FUA, payload=payload)
        await client.wait(lambda: client.pager.replicating)
        assert [each for each, _ in client.pager.replicating] == [range(3)]
        client.pager.on_replicated(is_success=True)
        assert await client.answer(cookie) is Errno.NONE


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.DISC}))
async def test_every_command_takes_fua(command: Command) -> None:
    """NBD_CMD_FLAG_FUA: valid for all commands; the server MUST accept all with this bit set."""
    async with served() as client:
        await client.go()
        length = 0 if command is Command.FLUSH else 4096
        payload = PAGE if command is Command.WRITE else b""
        assert await client.errno(command, 0, length, flags=FUA, payload=payload) is Errno.NONE


async def test_trim_drops_whole_pages_and_nothing_else() -> None:
    """NBD_CMD_TRIM: MAY round offset up and length down to meet alignment constraints."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 0, payload=PAGE * 3)
        assert await client.errno(Command.TRIM, 1, 3 * 4096 - 1) is Errno.NONE
        answer = await client.read(0, 3 * 4096)
        assert answer.types == [ReplyType.OFFSET_DATA, ReplyType.OFFSET_HOLE]


@pytest.mark.parametrize("flags", [0, CommandFlag.NO_HOLE, CommandFlag.FAST_ZERO])
async def test_write_zeroes_reads_back_as_zero(flags: int) -> None:
    """NBD_CMD_WRITE_ZEROES: MAY use trimming, but MUST ensure that the data reads back as zero."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 0, payload=PAGE * 3)
        assert await client.errno(Command.WRITE_ZEROES, 100, 8192, flags=flags) is Errno.NONE
        content = (await client.read(0, 3 * 4096)).content
        assert content == PAGE[:100] + bytes(8192) + PAGE[100:]


async def test_write_zeroes_without_a_hole_stays_allocated() -> None:
    """NBD_CMD_FLAG_NO_HOLE: to ensure that the server does not create a hole."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE_ZEROES, 0, 4096)
        await client.ask(Command.WRITE_ZEROES, 4096, 4096, flags=CommandFlag.NO_HOLE)
        answer = await client.ask(Command.BLOCK_STATUS, 0, 8192)
        assert isinstance(answer, Structured)
        assert answer.extents == [(4096, 3), (4096, 2)]


async def test_fast_zero_fails_quickly_where_a_write_is_as_fast() -> None:
    """NBD_CMD_FLAG_FAST_ZERO: MUST fail with ENOTSUP, SHOULD NOT alter the contents."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 0, payload=PAGE)
        fast = CommandFlag.FAST_ZERO
        assert await client.errno(Command.WRITE_ZEROES, 1, 100, flags=fast) is Errno.ENOTSUP
        assert (await client.read(0, 4096)).content == PAGE
        # And never without the flag.
        assert await client.errno(Command.WRITE_ZEROES, 1, 100) is Errno.NONE


async def test_cache_brings_pages_home_and_changes_nothing() -> None:
    """NBD_CMD_CACHE: retrieving remote data into a local cache; no difference in semantics."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 0, payload=PAGE)
        assert await client.errno(Command.CACHE, 100, 4096) is Errno.NONE
        assert client.pager.cached == {0, 1}
        assert (await client.read(0, 8192)).content == PAGE + bytes(4096)


async def test_cache_tells_an_error() -> None:
    """NBD_CMD_CACHE: if an error occurs, the server MUST set the appropriate error code."""
    async with served() as client:
        await client.go()
        client.pager.unreachable.add(1)
        assert await client.errno(Command.CACHE, 0, MIB) is Errno.EIO


# Block status.


async def test_block_status_describes_consecutive_extents_from_the_offset_on() -> None:
    """NBD_REPLY_TYPE_BLOCK_STATUS: one chunk for the context, lengths that are not zero."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 4096, payload=PAGE * 2)
        await client.ask(Command.WRITE, 4 * 4096, payload=bytes(4096))
        answer = await client.ask(Command.BLOCK_STATUS, 512, 6 * 4096)
        assert isinstance(answer, Structured)
        assert answer.types == [ReplyType.BLOCK_STATUS]
        assert answer.context == 1
        assert answer.extents == [(3584, 3), (8192, 0), (4096, 3), (4096, 2), (4096 + 512, 3)]


async def test_one_extent_is_one_and_not_longer_than_the_request() -> None:
    """NBD_CMD_FLAG_REQ_ONE: exactly one descriptor, MUST NOT exceed the length of the request."""
    async with served() as client:
        await client.go()
        one = CommandFlag.REQ_ONE
        for length in (1, 4096, MIB):
            answer = await client.ask(Command.BLOCK_STATUS, 4096, length, flags=one)
            assert isinstance(answer, Structured)
            assert answer.extents == [(length, 3)]


async def test_block_status_without_a_context_is_invalid() -> None:
    """Metadata querying: SHOULD reply with EINVAL to clients that selected no context."""
    async with served() as client:
        await client.go(allocation=False)
        assert await client.errno(Command.BLOCK_STATUS, 0, 4096) is Errno.EINVAL
        assert await client.is_usable()


async def test_block_status_beyond_the_end_is_invalid() -> None:
    """NBD_CMD_BLOCK_STATUS: SHOULD return EINVAL if the request includes sectors beyond the size."""
    async with served() as client:
        await client.go()
        assert await client.errno(Command.BLOCK_STATUS, DISK.size - 4096, 8192) is Errno.EINVAL


async def test_a_lost_page_is_not_zeros() -> None:
    """NBD_STATE_ZERO: if set, the block contents read as all zeroes."""
    async with served() as client:
        await client.go()
        client.pager.lost.add(0)
        answer = await client.ask(Command.BLOCK_STATUS, 0, 4096)
        assert isinstance(answer, Structured)
        assert answer.extents == [(4096, 0)]


# Errors.


@pytest.mark.parametrize("command", CHANGES)
async def test_a_read_only_export_permits_no_change(command: Command) -> None:
    """NBD_FLAG_READ_ONLY: MUST error write operations; Error values: SHOULD return EPERM."""
    async with served() as client:
        await client.greet()
        flags = export_of(await client.option(Option.GO, named("rom")))[1]
        assert flags & TransmissionFlag.READ_ONLY
        payload = PAGE if command is Command.WRITE else b""
        for cookie in (1, 2):
            await client.stream.send_all(request(command, cookie, 0, 4096, payload=payload))
            assert await client.answer(cookie) is Errno.EPERM
        assert not client.pager.pages


@pytest.mark.parametrize(
    ("command", "errno"),
    [
        (Command.READ, Errno.EINVAL),
        (Command.WRITE, Errno.ENOSPC),
        (Command.TRIM, Errno.EINVAL),
        (Command.CACHE, Errno.EINVAL),
        (Command.WRITE_ZEROES, Errno.ENOSPC),
    ],
)
async def test_a_range_beyond_the_end_is_refused(command: Command, errno: Errno) -> None:
    """Error values: ENOSPC for writes, EINVAL for reads and trims beyond the size of the device."""
    async with served() as client:
        await client.go()
        payload = PAGE if command is Command.WRITE else b""
        for offset in (DISK.size - 4095, DISK.size, 1 << 63, (1 << 64) - 1):
            assert await client.errno(command, offset, 4096, payload=payload) is errno
        assert await client.is_usable()


async def test_an_unknown_command_is_invalid() -> None:
    """Error values: the server SHOULD return EINVAL if it receives an unknown command."""
    async with served() as client:
        await client.go()
        for command in (8, 4711, 0xFFFF):
            assert await client.errno(command, 0, 4096) is Errno.EINVAL
        assert await client.is_usable()


@pytest.mark.parametrize(
    ("command", "flag"),
    [(each, 1 << 15) for each in Command if each is not Command.DISC]
    + [
        (Command.READ, CommandFlag.NO_HOLE),
        (Command.WRITE, CommandFlag.DF),
        (Command.TRIM, CommandFlag.FAST_ZERO),
        (Command.CACHE, CommandFlag.REQ_ONE),
        (Command.WRITE_ZEROES, CommandFlag.DF),
        (Command.BLOCK_STATUS, CommandFlag.NO_HOLE),
    ],
)
async def test_a_flag_that_is_not_for_the_command_is_invalid(command: Command, flag: int) -> None:
    """Error values: EINVAL for an unknown flag, and for one not documented as applicable."""
    async with served() as client:
        await client.go()
        length = 0 if command is Command.FLUSH else 4096
        payload = PAGE if command is Command.WRITE else b""
        assert await client.errno(command, 0, length, flags=flag, payload=payload) is Errno.EINVAL
        assert await client.is_usable()


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.DISC, Command.FLUSH}))
async def test_a_length_of_zero_does_not_disconnect(command: Command) -> None:
    """NBD_CMD_READ and others: unspecified, although the server SHOULD NOT disconnect."""
    async with served() as client:
        await client.go()
        assert await client.errno(command, 0, 0) is Errno.EINVAL
        assert await client.is_usable()


async def test_a_full_cluster_is_no_space_and_a_lost_page_an_io_error() -> None:
    """Error values: ENOSPC and EIO; SHOULD NOT return ENOMEM if at all possible."""
    async with served() as client:
        await client.go()
        client.pager.lost.add(1)
        client.pager.is_refusing = True
        assert await client.errno(Command.WRITE, 0, payload=PAGE) is Errno.ENOSPC
        assert await client.errno(Command.READ, 4096, 4096) is Errno.EIO


async def test_a_wrong_request_magic_ends_the_connection() -> None:
    """Terminating the transmission phase: a violation of a mandatory condition MAY disconnect."""
    async with served() as client:
        await client.go()
        await client.stream.send_all(b"x" * 28)
        assert await client.receive_rest() == b""


async def test_two_connections_share_one_disk() -> None:
    """NBD_FLAG_CAN_MULTI_CONN: effects MUST be visible across all connections after the reply."""
    pager = FakePager()
    async with served(pager) as first, served(pager) as second:
        await first.greet()
        assert export_of(await first.option(Option.GO, named("disk")))[1] & (
            TransmissionFlag.CAN_MULTI_CONN
        )
        await second.go()
        await first.stream.send_all(write(1, 0, PAGE))
        assert await first.answer(1) is Errno.NONE
        assert (await second.read(0, 4096)).content == PAGE
