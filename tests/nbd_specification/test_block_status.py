"""A server's duties by NBD's specification (NetworkBlockDevice/nbd, doc/proto.md), one a test: block status.

Each docstring names the section.
"""

from ramsterd.frontends.nbd.protocol import (
    Command,
    CommandFlag,
    Errno,
    ReplyType,
)
from tests.fakes.nbd_client import DISK, MIB, PAGE, served
from tests.fakes.nbd_words import Structured


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
