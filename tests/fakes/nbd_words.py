"""What a client says after the handshake, and how it reads the answers."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ramsterd.frontends.nbd.negotiation import Negotiation
from ramsterd.frontends.nbd.protocol import Command, Errno, ReplyType


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


@dataclass(slots=True)
class Structured:
    """What the chunks of one structured reply say together."""

    types: list[ReplyType] = field(default_factory=list)
    # By offset; a hole is zeros here too.
    data: dict[int, bytes] = field(default_factory=dict)
    errno: Errno = Errno.NONE
    message: str = ""
    # (bytes, state), and the context that says it.
    extents: list[tuple[int, int]] = field(default_factory=list)
    context: int | None = None
    is_done: bool = False

    @property
    def content(self) -> bytes:
        """The data in order; asserts that nothing is missing or twice."""
        content = b""
        first = min(self.data)
        for offset in sorted(self.data):
            assert offset == first + len(content)
            content += self.data[offset]
        return content


def parse_structured(data: bytes) -> dict[int, Structured | Errno]:
    """Return what was answered by cookie: chunks, or the errno of a simple reply."""
    replies: dict[int, Structured | Errno] = {}
    for cookie, piece in _split_replies(data):
        if isinstance(piece, Errno):
            assert cookie not in replies, "answered twice"
            replies[cookie] = piece
            continue
        reply = replies.setdefault(cookie, Structured())
        assert isinstance(reply, Structured)
        assert not reply.is_done, "a chunk after the last"
        _take_chunk(reply, *piece)
    return replies


def _split_replies(data: bytes) -> Iterator[tuple[int, Errno | tuple[int, int, bytes]]]:
    start = 0
    while start < len(data):
        (magic,) = struct.unpack_from(">I", data, start)
        if magic == 0x67446698:
            errno, cookie = struct.unpack_from(">IQ", data, start + 4)
            yield cookie, Errno(errno)
            start += 16
            continue
        assert magic == 0x668E33EF
        flags, kind, cookie, length = struct.unpack_from(">HHQI", data, start + 4)
        start += 20
        assert len(data) >= start + length
        yield cookie, (flags, kind, data[start : start + length])
        start += length


def _take_chunk(reply: Structured, flags: int, kind: int, payload: bytes) -> None:
    assert flags in {0, 1}
    reply.is_done = bool(flags)
    reply.types.append(ReplyType(kind))
    match kind:
        case ReplyType.NONE:
            assert reply.is_done
            assert not payload
        case ReplyType.OFFSET_DATA:
            (offset,) = struct.unpack_from(">Q", payload)
            assert len(payload) > 8
            reply.data[offset] = payload[8:]
        case ReplyType.OFFSET_HOLE:
            offset, count = struct.unpack(">QI", payload)
            assert count
            reply.data[offset] = bytes(count)
        case ReplyType.BLOCK_STATUS:
            (reply.context,) = struct.unpack_from(">I", payload)
            reply.extents += [
                (size, state) for size, state in struct.iter_unpack(">II", payload[4:])
            ]
            assert all(size for size, _ in reply.extents)
        case ReplyType.ERROR:
            errno, count = struct.unpack_from(">IH", payload)
            assert errno
            reply.errno, reply.message = Errno(errno), payload[6 : 6 + count].decode()
            assert len(payload) == 6 + count
        case _:
            raise AssertionError(f"chunk of type {kind}")


class Handshake(Negotiation):
    """A handshake whose client takes every answer."""

    def hear(self, data: bytes) -> bytes:
        """Return all answers to what the client says."""
        return b"".join(self.receive_data(data))
