"""What a client says after the handshake, and how it reads the answers."""

import struct
from collections.abc import Mapping

from ramsterd.nbd.protocol import Command, Errno


def request(
    command: int,
    cookie: int,
    offset: int = 0,
    length: int = 0,
    *,
    flags: int = 0,
    payload: bytes = b"",
) -> bytes:
    """Return the bytes of one request, written without the code under test."""
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length) + payload


def write(cookie: int, offset: int, data: bytes, *, flags: int = 0) -> bytes:
    """Return a WRITE."""
    return request(Command.WRITE, cookie, offset, len(data), flags=flags, payload=data)


def parse_replies(data: bytes, reads: Mapping[int, int]) -> dict[int, Errno | bytes]:
    """Return errno or data by cookie; `reads` gives the lengths of READs.  Asserts that nothing is left."""
    replies: dict[int, Errno | bytes] = {}
    while data:
        magic, errno, cookie = struct.unpack_from(">IIQ", data)
        assert magic == 0x67446698
        assert cookie not in replies, "answered twice"
        count = reads.get(cookie, 0) if errno == 0 else 0
        assert len(data) >= 16 + count
        replies[cookie] = data[16 : 16 + count] if cookie in reads and not errno else Errno(errno)
        data = data[16 + count :]
    return replies
