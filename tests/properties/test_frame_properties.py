"""Decoders under any bytes and any chunking."""

from hypothesis import given, settings, strategies as st

from net.errors import RemoteProtocolError
from net.frame import (
    HEADER,
    HEADER_BYTES,
    LINK_LIMITS,
    MAGIC,
    PROTOCOL_VERSION,
    FrameDecoder,
    FrameLimits,
)
from net.hello import Hello, parse_reason
from net.packing import pack_fields, unpack
from tests.fakes.poisoned_pool import POISONED
from tests.helpers.links import Seen, make_frame, make_hello, seen

LIMITS = {16: FrameLimits(100, 64, 500_000), 17: FrameLimits(0, 0, 0)}

frames = st.builds(
    Seen,
    type=st.just(16),
    is_reply=st.booleans(),
    request_id=st.integers(1, 0xFFFFFFFF),
    count=st.integers(0, 100),
    table=st.binary(max_size=64),
    # Repeated, so that some frames are larger than the decoder's first buffer.
    body=st.builds(
        lambda part, times: part * times,
        st.binary(max_size=100),
        st.sampled_from([1, 1, 1, 30, 4000]),
    ),
)


def encode(frame: Seen) -> bytes:
    return make_frame(
        frame.type,
        request_id=frame.request_id,
        is_reply=frame.is_reply,
        count=frame.count,
        table=frame.table,
        body=frame.body,
    )


def feed_in_chunks(data: bytes, chunks: list[int]) -> list[Seen]:
    """Feed as a socket would: chunk sizes in turn, each cut to what the decoder offers."""
    decoder = FrameDecoder(LIMITS, pool=POISONED)
    found: list[Seen] = []
    at = turn = 0
    while at < len(data):
        space = decoder.space()
        assert len(space) > 0
        taken = min(chunks[turn % len(chunks)], len(space), len(data) - at)
        space[:taken] = data[at : at + taken]
        decoder.on_received(taken)
        found.extend(seen(frame) for frame in decoder.frames())
        if taken % 2:
            decoder.on_idle()
        at += taken
        turn += 1
    return found


@settings(max_examples=40)
@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 300_000), min_size=1, max_size=9))
def test_any_frames_under_any_chunking_come_out_as_they_went_in(
    sent: list[Seen], chunks: list[int]
) -> None:
    assert feed_in_chunks(b"".join(map(encode, sent)), chunks) == sent


@settings(max_examples=40)
@given(
    st.lists(frames.filter(lambda frame: len(frame.body) < 300), max_size=3),
    st.lists(st.integers(1, 3), min_size=1, max_size=9),
)
def test_small_frames_in_tiny_chunks_come_out_as_they_went_in(
    sent: list[Seen], chunks: list[int]
) -> None:
    assert feed_in_chunks(b"".join(map(encode, sent)), chunks) == sent


# Each field mostly right, so that many headers are right altogether and the rest are wrong in one place.
headers = st.builds(
    HEADER.pack,
    st.sampled_from([MAGIC] * 9 + [0]),
    st.sampled_from([PROTOCOL_VERSION] * 9 + [0]),
    st.sampled_from([16, 16, 16, 17, 3, 99]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([0] * 9 + [1]),
    st.integers(0, 101),
    st.sampled_from([0, 1, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 64, 65, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 500, 500_001, 0xFFFFFFFF]),
)


@given(
    st.lists(st.one_of(headers, st.binary(max_size=600)), max_size=6),
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_any_bytes_give_frames_within_limits_or_the_named_error(
    parts: list[bytes], chunks: list[int]
) -> None:
    data = b"".join(parts)
    try:
        found = feed_in_chunks(data, chunks)
    except RemoteProtocolError:
        return
    allowed = {**LINK_LIMITS, **LIMITS}
    for frame in found:
        limits = allowed[frame.type]
        assert frame.count <= limits.count_max
        assert len(frame.table) <= limits.table_bytes_max
        assert len(frame.body) <= limits.body_bytes_max
    assert sum(HEADER_BYTES + len(f.table) + len(f.body) for f in found) <= len(data)


@given(st.binary(max_size=200), st.integers(0, 150), st.integers(0, 3))
def test_any_bytes_are_a_hello_or_the_named_error(noise: bytes, at: int, much: int) -> None:
    """A HELLO with some of its bytes overwritten, from none to all."""
    whole = make_hello().encode()
    overwritten = noise if much == 3 else noise[:much]
    payload = whole[:at] + overwritten + whole[at + len(overwritten) :]
    try:
        hello = Hello.parse(payload)
    except RemoteProtocolError:
        return
    assert Hello.parse(hello.encode()) == hello


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**64 - 1),
    st.floats(),
    st.text("aé\n\x1b", max_size=70),
)


@given(
    st.dictionaries(st.integers(0, 7), st.one_of(plain, st.lists(plain, max_size=10)), max_size=2)
)
def test_an_almost_valid_hello_is_a_hello_or_the_named_error(changes: dict[int, object]) -> None:
    fields = unpack(make_hello().encode())
    assert isinstance(fields, list)
    for place, value in changes.items():
        fields[place] = value
    try:
        hello = Hello.parse(pack_fields(fields))
    except RemoteProtocolError:
        assert changes, "the unchanged message is valid"
        return
    assert Hello.parse(hello.encode()) == hello


@given(st.one_of(st.binary(max_size=80), st.text("aé\n\x1b").map(lambda text: pack_fields([text]))))
def test_any_bytes_are_a_reason_or_the_named_error(payload: bytes) -> None:
    try:
        reason = parse_reason(payload)
    except RemoteProtocolError:
        return
    assert reason.isprintable()
