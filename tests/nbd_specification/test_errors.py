"""A server's duties by NBD's specification (NetworkBlockDevice/nbd, doc/proto.md), one a test: errors.

Each docstring names the section.
"""

import pytest

from ramsterd.frontends.nbd.protocol import (
    Command,
    CommandFlag,
    Errno,
    Option,
    TransmissionFlag,
)
from tests.fakes.nbd_client import CHANGES, DISK, PAGE, export_of, named, served
from tests.fakes.nbd_words import request


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


@pytest.mark.parametrize("command", sorted(set(Command) - {Command.DISC, *CHANGES}))
async def test_a_read_only_export_permits_all_else(command: Command) -> None:
    """NBD_FLAG_READ_ONLY: it is write operations that fail."""
    async with served() as client:
        await client.go("rom")
        length = 0 if command is Command.FLUSH else 4096
        assert await client.errno(command, 0, length) is Errno.NONE


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
