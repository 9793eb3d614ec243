"""Any bytes under any chunking close the connection or are answered; and the disk is a bytearray.

Random bytes are almost never a request, so each property is also fed almost-valid conversations.
"""

import random
import struct

from hypothesis import given, strategies as st

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.handed import HandedHandshake, handshake_from, record_of_handshake
from ramsterd.frontends.nbd.negotiation import State
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Errno
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.handover.document import Document, decode, encode
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import Handshake, Structured, parse_replies, parse_structured, request
from tests.fakes.poisoned_pool import POISONED

PAGES = 6
SIZE = PAGES * PAGE_BYTES
EXPORT = Export(name="disk", size=SIZE, pool=PoolId(1), object_id=b"disk")


def chunks(data: bytes, rng: random.Random) -> list[bytes]:
    """Cut `data` anywhere, often into single bytes."""
    found = []
    while data:
        count = rng.choice([1, 2, 15, 16, 17, 28, 29, 4096, len(data)])
        found.append(data[:count])
        data = data[count:]
    return found


def feed(transmission: Transmission, data: bytes) -> None:
    while data:
        count = min(len(data), len(transmission.received.space()))
        transmission.received.feed(data[:count])
        data = data[count:]
        transmission.serve()
        while transmission.has_unserved and not transmission.is_full:
            transmission.serve()
        if not transmission.has_unserved:
            transmission.received.on_idle()


def take(transmission: Transmission) -> bytes:
    replies = transmission.replies
    data = b"".join(replies.pieces)
    assert len(data) == replies.queued_bytes
    replies.on_sent(len(data))
    assert not replies.pieces
    return data


names = st.sampled_from([b"", b"disk", b"dis", b"disks", b"\xff\xfe"])
go_data = st.builds(
    lambda name, lie, kinds, tail: (
        struct.pack(">I", max(0, len(name) + lie))
        + name
        + struct.pack(f">H{len(kinds)}H", len(kinds), *kinds)
        + tail
    ),
    names,
    st.sampled_from([0, 0, 0, 1, -1]),
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from([b"", b"", b"", b"x"]),
)
context_data = st.builds(
    lambda name, queries, lie: (
        struct.pack(">I", len(name))
        + name
        + struct.pack(">I", max(0, len(queries) + lie))
        + b"".join(struct.pack(">I", len(query)) + query for query in queries)
    ),
    names,
    st.lists(st.sampled_from([b"base:", b"base:allocation", b"x-y:", b""]), max_size=3),
    st.sampled_from([0, 0, 0, 1, -1]),
)
option_words = st.builds(
    lambda number, data, lie: (
        b"IHAVEOPT" + struct.pack(">II", number, max(0, len(data) + lie)) + data
    ),
    st.sampled_from([1, 2, 3, 5, 6, 6, 6, 7, 8, 9, 10, 10, 4711]),
    st.one_of(go_data, context_data, names, st.just(b""), st.binary(max_size=40)),
    st.sampled_from([0, 0, 0, 0, 0, 1, -1, 9000]),
)
handshakes = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda flags, options: struct.pack(">I", flags) + b"".join(options),
        st.sampled_from([0, 1, 2, 3, 3, 3, 4]),
        st.lists(option_words, max_size=6),
    ),
)


def shake(parts: list[bytes]) -> tuple[str, bytes]:
    """Return how a handshake ended and what was answered."""
    negotiation = Handshake([EXPORT])
    answered = b""
    try:
        for part in parts:
            answered += negotiation.hear(part)
    except RemoteProtocolError as error:
        return str(error), b""
    if negotiation.state is State.TRANSMISSION:
        assert negotiation.session.export is EXPORT
    return negotiation.state.name, answered


@given(said=handshakes, rng=st.randoms(use_true_random=False))
def test_any_handshake_is_answered_or_ended_the_same_under_any_chunking(
    said: bytes, rng: random.Random
) -> None:
    assert shake(chunks(said, rng)) == shake([said])


def shake_in_processes(parts: list[bytes]) -> tuple[str, bytes]:
    """As `shake`, but each part comes to another process, which has the record of the one before."""
    negotiation = Handshake([EXPORT])
    answered = b""
    try:
        for part in parts:
            answered += negotiation.hear(part)
            if not negotiation.is_over:
                record = record_of_handshake(HandedHandshake(negotiation.position, b""))
                document = Document(
                    memory_id=b"", restart_id="", paused_at_nanoseconds=0, connections=(record,)
                )
                (found,) = decode(encode(document)).connections
                assert found is not None
                negotiation = Handshake([EXPORT])
                negotiation.take_up(handshake_from(found).position)
    except RemoteProtocolError as error:
        return str(error), b""
    return negotiation.state.name, answered


@given(said=handshakes, rng=st.randoms(use_true_random=False))
def test_a_handshake_that_goes_through_many_processes_is_answered_the_same(
    said: bytes, rng: random.Random
) -> None:
    assert shake_in_processes(chunks(said, rng)) == shake([said])


@given(option_words=st.lists(option_words, max_size=3))
def test_a_valid_go_after_answered_options_reaches_the_export(option_words: list[bytes]) -> None:
    negotiation = Handshake([EXPORT])
    go = b"IHAVEOPT" + struct.pack(">II", 7, 10) + struct.pack(">I4sH", 4, b"disk", 0)
    try:
        negotiation.hear(struct.pack(">I", 3))
        for word in option_words:
            negotiation.hear(word)
    except RemoteProtocolError:
        return
    is_between_options = (
        negotiation.state is State.OPTIONS and not negotiation.rest and negotiation._skipped is None
    )
    if is_between_options:
        negotiation.hear(go)
        assert negotiation.session.export is EXPORT


almost_requests = st.builds(
    lambda magic, flags, command, offset, length, payload: (
        struct.pack(">IHHQQI", magic, flags, command, 7, offset, length) + payload
    ),
    st.sampled_from([0x25609513] * 9 + [0x25609514]),
    st.sampled_from([0, 0, 0, 1, 2, 4, 8, 16, 0x8000]),
    st.integers(0, 9),
    st.sampled_from([0, 1, 4095, 4096, SIZE - 1, SIZE, 1 << 63, (1 << 64) - 1]),
    st.sampled_from([0, 1, 4096, SIZE, SIZE + 1, 32 << 20, (32 << 20) + 1, (1 << 32) - 1]),
    st.sampled_from([b"", b"x", bytes(4096), bytes(SIZE)]),
)


@given(
    said=st.one_of(st.binary(max_size=300), st.lists(almost_requests, max_size=8).map(b"".join)),
    rng=st.randoms(use_true_random=False),
)
def test_any_bytes_after_the_handshake_are_answered_or_end_the_connection(
    said: bytes, rng: random.Random
) -> None:
    pager = FakePager()
    pager.is_delaying = rng.random() < 0.5
    counters = Counters()
    is_structured = rng.random() < 0.5
    session = Session(export=EXPORT, is_structured=is_structured, has_allocation=is_structured)
    transmission = Transmission(session, pager, counters, lambda: None, pool=POISONED)
    try:
        transmission.serve()
        for chunk in chunks(said, rng):
            if transmission.is_disconnecting:
                break
            feed(transmission, chunk)
            if rng.random() < 0.3:
                pager.release(rng)
    except RemoteProtocolError:
        pass
    pager.release(rng)
    assert transmission.in_flight_count == transmission.in_flight_bytes == 0
    assert counters.in_flight_count == 0
    transmission.close()


# Whole pages often enough that the fast path, runs and trims are all met.
edges = st.one_of(
    st.integers(0, PAGES).map(lambda page: page * PAGE_BYTES),
    st.integers(0, SIZE),
    st.integers(0, PAGES).map(lambda page: min(SIZE, page * PAGE_BYTES + 1)),
)
commands = st.sampled_from(
    [
        Command.READ,
        Command.READ,
        Command.WRITE,
        Command.WRITE,
        Command.TRIM,
        Command.WRITE_ZEROES,
    ]
)
operations = st.lists(
    st.tuples(commands, edges, edges, st.booleans()).filter(lambda each: each[1] != each[2]),
    min_size=1,
    max_size=12,
)


def answers(data: bytes, reads: dict[int, int], *, is_structured: bool) -> dict[int, Errno | bytes]:
    """Return errno or data by cookie, whichever kind of reply says it."""
    if not is_structured:
        return parse_replies(data, reads)
    found: dict[int, Errno | bytes] = {}
    for cookie, answer in parse_structured(data).items():
        if isinstance(answer, Structured):
            assert answer.is_done
            found[cookie] = answer.errno or answer.content
        else:
            found[cookie] = answer
    return found


class Model:
    """The disk as a bytearray: what a WRITE, TRIM or WRITE_ZEROES leaves."""

    def __init__(self) -> None:
        self.disk = bytearray(SIZE)

    def apply(self, command: Command, start: int, end: int, payload: bytes) -> None:
        if command is Command.WRITE:
            self.disk[start:end] = payload
        elif command is Command.WRITE_ZEROES:
            self.disk[start:end] = bytes(end - start)
        elif command is Command.TRIM:
            first, last = -(-start // PAGE_BYTES) * PAGE_BYTES, end // PAGE_BYTES * PAGE_BYTES
            if first < last:
                self.disk[first:last] = bytes(last - first)


def overlaps(start: int, end: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start < other_end and other_start < end for other_start, other_end in ranges)


@given(operations=operations, rng=st.integers(0, 1 << 32).map(random.Random))
def test_the_disk_is_a_bytearray_whatever_is_late(
    operations: list[tuple[Command, int, int, bool]], rng: random.Random
) -> None:
    """Requests that touch no common byte are under way together and complete in any order."""
    pager = FakePager()
    pager.is_delaying = True
    is_structured = rng.random() < 0.5
    session = Session(export=EXPORT, is_structured=is_structured)
    transmission = Transmission(session, pager, Counters(), lambda: None, pool=POISONED)
    transmission.serve()
    model = Model()
    under_way: list[tuple[int, int]] = []
    expected: dict[int, Errno | bytes] = {}
    reads: dict[int, int] = {}

    def finish() -> None:
        while pager.delayed:
            pager.release(rng)
        assert answers(take(transmission), reads, is_structured=is_structured) == expected
        for left in (under_way, expected, reads):
            left.clear()

    for cookie, (command, one, other, flag) in enumerate(operations):
        start, end = min(one, other), max(one, other)
        if overlaps(start, end, under_way):
            finish()
        pager.is_delaying = rng.random() < 0.7
        payload = rng.randbytes(end - start) if command is Command.WRITE else b""
        flags = CommandFlag.NO_HOLE if flag and command is Command.WRITE_ZEROES else 0
        if command is Command.READ:
            reads[cookie] = end - start
            expected[cookie] = bytes(model.disk[start:end])
        else:
            expected[cookie] = Errno.NONE
        model.apply(command, start, end, payload)
        under_way.append((start, end))
        said = request(command, cookie, start, end - start, flags=flags, payload=payload)
        for chunk in (said[:10], said[10:]):
            feed(transmission, chunk)
    finish()
    pager.is_delaying = False
    feed(transmission, request(Command.READ, 99, 0, SIZE))
    found = answers(take(transmission), {99: SIZE}, is_structured=is_structured)
    assert found == {99: bytes(model.disk)}
