"""Any bytes after an NBD handshake are requests that get one answer each, or RemoteProtocolError; once all is answered nothing is owed."""

import random
from collections.abc import Mapping
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import (
    IN_FLIGHT_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    REPLY_BYTES_MAX,
    REQUEST,
    REQUEST_BYTES,
    REQUESTS_IN_FLIGHT_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    Errno,
    request_word,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import Structured, parse_structured, request, write
from tests.fuzz.target import Target, pieces

# Over one slice, so that long reads are under way over several passes.
PAGES: Final = SLICE_PAGES + 8
SIZE: Final = PAGES * PAGE_BYTES
# Bits of the second byte of an input.
IS_STRUCTURED, IS_READ_ONLY, IS_REPLICATED, IS_DELAYED, IS_FULL, IS_LOSING = 1, 2, 4, 8, 16, 32
# Answers to this many bytes are parsed; the rest of a very long conversation is only served.
ANSWER_BYTES_MAX: Final = 1024 * 1024


class Client:
    """One client and its connection over a pager that does as the bits say."""

    def __init__(self, bits: int) -> None:
        self.outcomes: set[str] = set()
        self.answered = bytearray()
        self.is_structured = bool(bits & IS_STRUCTURED)
        self._counters = Counters()
        self._pager = FakePager()
        self._pager.is_delaying = bool(bits & IS_DELAYED)
        self._pager.is_replicating = bool(bits & IS_DELAYED)
        self._pager.is_refusing = bool(bits & IS_FULL)
        self._pager.lost = {3} if bits & IS_LOSING else set()
        export = Export(
            name="disk",
            size=SIZE,
            pool=PoolId(1),
            object_id=b"disk",
            is_read_only=bool(bits & IS_READ_ONLY),
            is_replicated=bool(bits & IS_REPLICATED),
        )
        session = Session(
            export=export, is_structured=self.is_structured, has_allocation=self.is_structured
        )
        self.transmission = Transmission(session, self._pager, self._counters, lambda: None)
        self.transmission.serve()

    def say(self, data: bytes) -> None:
        """Send bytes, and take what is answered whenever the server waits for that."""
        transmission = self.transmission
        while data and not transmission.is_disconnecting:
            space = transmission.received.space()
            assert len(space) > 0, "nothing could ever be received again"
            count = min(len(space), len(data))
            transmission.received.feed(data[:count])
            data = data[count:]
            self._serve()

    def end(self) -> None:
        """Let all that waits be answered, and look at the books."""
        for is_success in (True, False):
            self._release(is_success=is_success)
        assert not self._pager.delayed
        # A WRITE whose data has not all come waits for that; it is forgotten with the connection.
        assert self.transmission.in_flight_count <= 1
        if not self.transmission.in_flight_count:
            assert self.transmission.in_flight_bytes == 0
        if self.transmission.is_disconnecting:
            assert self.transmission.is_finished
            self.outcomes.add("disconnected")
        self.transmission.close()
        assert self._counters.in_flight_count == 0

    def _serve(self) -> None:
        transmission = self.transmission
        transmission.serve()
        while transmission.has_unserved:
            if transmission.is_full:
                self._release(is_success=True)
            transmission.serve()
            self._check_bounds()
        if transmission.is_full:
            self.outcomes.add("full")
            self._release(is_success=True)
        self._take()

    def _check_bounds(self) -> None:
        transmission = self.transmission
        assert transmission.in_flight_count <= REQUESTS_IN_FLIGHT_MAX
        assert transmission.in_flight_bytes <= IN_FLIGHT_BYTES_MAX + PAYLOAD_BYTES_MAX
        assert transmission.replies.queued_bytes <= REPLY_BYTES_MAX + PAYLOAD_BYTES_MAX

    def _release(self, *, is_success: bool) -> None:
        while self._pager.delayed or self._pager.replicating:
            self._pager.release()
            self._pager.on_replicated(is_success=is_success)
        self._take()

    def _take(self) -> None:
        self._check_bounds()
        replies = self.transmission.replies
        data = b"".join(replies.pieces)
        assert len(data) == replies.queued_bytes
        replies.on_sent(len(data))
        self.answered += data


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut, the second is of bits, see above."""
    rule, bits = [*data[:2], 0, 0][:2]
    client = Client(bits)
    try:
        for piece in pieces(data[2:], rule):
            client.say(piece)
            if len(client.answered) > ANSWER_BYTES_MAX:
                break
    except RemoteProtocolError as error:
        assert str(error).isprintable(), "it stands in a log"
        client.outcomes.add(str(error).split(maxsplit=1)[0])
    client.end()
    if client.is_structured:
        client.outcomes |= judge_answers(data[2:], client)
    return client.outcomes


def judge_answers(stream: bytes, client: Client) -> set[str]:
    """Compare what was answered with what was asked, if the cookies are all different."""
    asked = commands_in(stream)
    if len({cookie for cookie, _ in asked}) != len(asked):
        return set()
    found: set[str] = set()
    answers = parse_structured(bytes(client.answered))
    for cookie, command in asked:
        answer = answers.pop(cookie, None)
        if answer is None:
            continue
        name = Command(command).name if command in list(Command) else "unknown"
        errno = answer.errno if isinstance(answer, Structured) else answer
        assert isinstance(answer, Errno) or answer.is_done
        found.add(f"{name} {Errno(errno).name}")
        if isinstance(answer, Structured):
            found |= {each.name for each in answer.types}
    assert not answers, "answers to what nobody asked"
    return found


def commands_in(stream: bytes) -> list[tuple[int, int]]:
    """Return cookie and command of each request, as a client would count them."""
    found: list[tuple[int, int]] = []
    while len(stream) >= REQUEST_BYTES:
        word, cookie, _, length = REQUEST.unpack_from(stream)
        command = word & 0xFFFF
        found.append((int.from_bytes(cookie), command))
        stream = stream[REQUEST_BYTES + (length if command == Command.WRITE else 0) :]
    return found


def seeds() -> Mapping[str, bytes]:
    page = bytes(range(256)) * 16
    everyday = (
        write(1, 0, page * 2)
        + request(Command.READ, 2, 0, 3 * PAGE_BYTES)
        + request(Command.READ, 3, 100, 5000)
        + write(4, 4000, b"across an edge" * 20)
        + request(Command.TRIM, 5, 0, PAGE_BYTES)
        + request(Command.WRITE_ZEROES, 6, 10, 9000)
        + request(Command.WRITE_ZEROES, 7, 0, 8192, flags=CommandFlag.NO_HOLE | CommandFlag.FUA)
        + request(Command.WRITE_ZEROES, 17, 1, 2, flags=CommandFlag.FAST_ZERO)
        + request(Command.CACHE, 8, 0, SIZE)
        + request(Command.FLUSH, 9)
        + request(Command.BLOCK_STATUS, 10, 0, SIZE)
        + request(Command.BLOCK_STATUS, 11, 0, SIZE, flags=CommandFlag.REQ_ONE)
        + request(Command.READ, 12, 0, SIZE)
        + request(Command.READ, 13, 0, SIZE, flags=CommandFlag.DF)
    )
    wrong = (
        request(Command.READ, 1, SIZE, 1)
        + request(Command.READ, 2, 0, 0)
        + request(99, 3)
        + request(Command.FLUSH, 4, flags=0x8000)
        + write(5, SIZE - 1, b"xx")
        + request(Command.READ, 6, 0, PAYLOAD_BYTES_MAX + 1)
        + request(Command.TRIM, 7, (1 << 64) - 1, (1 << 32) - 1)
        + request(Command.DISC, 8)
    )
    lost = request(Command.READ, 1, 0, SIZE) + request(Command.READ, 2, 3 * PAGE_BYTES, 4096)
    both = bytes([IS_STRUCTURED | IS_REPLICATED])
    return {
        "everyday": b"\x00" + both + everyday,
        "simple": b"\x03\x00" + everyday,
        "late": b"\x03" + bytes([IS_STRUCTURED | IS_REPLICATED | IS_DELAYED]) + everyday,
        "lost": b"\x01" + bytes([IS_STRUCTURED | IS_LOSING | IS_DELAYED]) + lost,
        "no-room": b"\x02" + bytes([IS_STRUCTURED | IS_FULL]) + everyday,
        "read-only": b"\x00" + bytes([IS_STRUCTURED | IS_READ_ONLY]) + everyday,
        "wrong": b"\x01" + bytes([IS_STRUCTURED]) + wrong,
        "magic": b"\x01\x00" + request(Command.FLUSH, 1) + b"GET / HTTP/1.1\r\nHost: of nobody",
        "endless": b"\x00\x01" + request(Command.WRITE, 1, 0, (1 << 32) - 1),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Make requests with the right magic, most of them of a known command within the disk, with cookies that differ."""
    stream, repaired = data[2:], data[:2]
    while len(stream) >= REQUEST_BYTES:
        word, _, offset, length = REQUEST.unpack_from(stream)
        stream = stream[REQUEST_BYTES:]
        command, flags = word & 0xFFFF, word >> 16 & 0xFFFF
        if rng.random() < 0.9:
            command, flags = command % len(Command), flags & 31 if rng.random() < 0.5 else 0
            offset %= SIZE + 1
            length = min(length, SIZE - offset)
            # Mostly a few pages, or an input would take milliseconds.
            length = length % (3 * PAGE_BYTES) if rng.random() < 0.8 else length
        payload = b""
        if command == Command.WRITE:
            length = min(length, max(len(stream), 1))
            payload, stream = stream[:length], stream[length:]
        cookie = len(repaired).to_bytes(8)
        repaired += REQUEST.pack(request_word(command, flags), cookie, offset, length) + payload
    return repaired + stream


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        [
            "READ NONE", "READ EINVAL", "READ EIO", "WRITE NONE", "WRITE ENOSPC", "WRITE EPERM", "TRIM NONE",
            "TRIM EPERM", "WRITE_ZEROES NONE", "WRITE_ZEROES ENOTSUP", "CACHE NONE", "FLUSH NONE", "FLUSH EINVAL",
            "BLOCK_STATUS NONE", "unknown EINVAL", "OFFSET_DATA", "OFFSET_HOLE", "BLOCK_STATUS", "ERROR", "NONE",
            "disconnected", "request", "WRITE",
        ]
    ),
    repair=repair,
    bytes_max=8192,
)  # fmt: skip
