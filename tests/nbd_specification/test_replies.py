"""A server's duties by NBD's specification (NetworkBlockDevice/nbd, doc/proto.md), one a test: replies.

Each docstring names the section.
"""

import struct

import pytest

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.protocol import (
    PAYLOAD_BYTES_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    Errno,
    ReplyType,
)
from tests.fakes.nbd_client import DISK, MIB, PAGE, served
from tests.fakes.nbd_words import Structured, request, write


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


async def test_a_long_read_carries_holes_as_holes_too() -> None:
    """Structured replies: they skip over the portions of a sparse file that are known to be zeroes."""
    async with served() as client:
        await client.go()
        at = SLICE_PAGES * PAGE_BYTES
        await client.ask(Command.WRITE, at, payload=PAGE)
        answer = await client.read(0, 4 * at)
        assert answer.types.count(ReplyType.OFFSET_DATA) == 1
        assert answer.data[at] == PAGE
        assert answer.content == bytes(at) + PAGE + bytes(3 * at - PAGE_BYTES)


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
