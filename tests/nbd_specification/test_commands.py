"""A server's duties by NBD's specification (NetworkBlockDevice/nbd, doc/proto.md), one a test: commands.

Each docstring names the section.
"""

import struct

import pytest

from ramsterd.frontends.nbd.counters import End
from ramsterd.frontends.nbd.protocol import (
    PAYLOAD_BYTES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    Command,
    CommandFlag,
    Errno,
    Option,
    ReplyType,
    TransmissionFlag,
)
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_client import CHANGES, DISK, FUA, MIB, PAGE, export_of, named, served
from tests.fakes.nbd_words import Structured, request, write


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


@pytest.mark.parametrize("flags", [0, FUA])
async def test_a_write_is_answered_when_it_is_stored_and_not_before(flags: int) -> None:
    """NBD_CMD_WRITE: MUST write the data, and then send the reply; FUA: not before it is persisted."""
    async with served() as client:
        await client.go()
        client.pager.is_delaying = True
        cookie = await client.say(Command.WRITE, 0, payload=PAGE, flags=flags)
        await client.wait(lambda: client.pager.delayed)
        client.pager.is_delaying = False
        # Another request overtakes it, so nothing was said meanwhile.
        assert (await client.read(0, 4096)).content == bytes(4096)
        client.pager.release()
        assert await client.answer(cookie) is Errno.NONE
        assert (await client.read(0, 4096)).content == PAGE


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


@pytest.mark.parametrize("command", CHANGES)
async def test_without_fua_nothing_waits_for_the_peers(command: Command) -> None:
    """NBD_CMD_WRITE: MAY send the reply before the data has reached permanent storage, without FUA."""
    async with served() as client:
        await client.go("safe")
        client.pager.is_replicating = True
        payload = bytes(6000) if command is Command.WRITE else b""
        assert await client.errno(command, 4000, 6000, payload=payload) is Errno.NONE
        assert not client.pager.replicating


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.DISC}))
async def test_every_command_takes_fua(command: Command) -> None:
    """NBD_CMD_FLAG_FUA: valid for all commands; the server MUST accept all with this bit set."""
    async with served() as client:
        await client.go()
        length = 0 if command is Command.FLUSH else 4096
        payload = PAGE if command is Command.WRITE else b""
        assert await client.errno(command, 0, length, flags=FUA, payload=payload) is Errno.NONE
        assert not client.pager.calls["replicate"], "in memory is what this export promises"


async def test_trim_drops_whole_pages_and_nothing_else() -> None:
    """NBD_CMD_TRIM: MAY round offset up and length down to meet alignment constraints."""
    async with served() as client:
        await client.go()
        await client.ask(Command.WRITE, 0, payload=PAGE * 3)
        assert await client.errno(Command.TRIM, 1, 3 * 4096 - 1) is Errno.NONE
        answer = await client.read(0, 3 * 4096)
        assert answer.types == [ReplyType.OFFSET_DATA, ReplyType.OFFSET_HOLE]


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (Command.TRIM, 0),
        (Command.WRITE_ZEROES, 0),
        (Command.WRITE_ZEROES, CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
        (Command.BLOCK_STATUS, 0),
    ],
)
async def test_what_carries_no_payload_may_be_longer_than_the_maximum(
    command: Command, flags: int
) -> None:
    """Block size constraints: the maximum payload does not apply to a request that has none."""
    async with served() as client:
        await client.go()
        assert DISK.size > PAYLOAD_BYTES_MAX
        await client.ask(Command.WRITE, DISK.size - 4096, payload=PAGE)
        assert await client.errno(command, 0, DISK.size, flags=flags) is Errno.NONE
        left = PAGE if command is Command.BLOCK_STATUS else bytes(4096)
        assert (await client.read(DISK.size - 4096, 4096)).content == left


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
        assert await second.errno(Command.TRIM, 0, 4096) is Errno.NONE
        await first.stream.send_all(request(Command.READ, 2, 0, 4096))
        assert await first.receive(16 + 4096) == struct.pack(">IIQ", 0x67446698, 0, 2) + bytes(4096)
