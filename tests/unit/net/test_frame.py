import pytest

from net.errors import RemoteProtocolError
from net.frame import (
    DECODER_BYTES_START,
    FRAME_BYTES_MAX,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    PROTOCOL_VERSION,
    FrameDecoder,
    FrameLimits,
    LinkType,
)
from tests.helpers.buffers import unread_bytes
from tests.helpers.links import ASK, LIMITS, TELL, Seen, decode_one, feed, make_frame

LARGEST = {ASK: FrameLimits(0xFFFF, 1024, FRAME_BYTES_MAX - HEADER_BYTES - 1024)}


def test_the_header_is_twenty_bytes_as_documented() -> None:
    header = HEADER.pack(MAGIC, 1, 2, 1, 0, 5, 6, 7, 8)
    assert header.hex() == "5232010201000500060000000700000008000000"


def test_a_frame_comes_out_as_it_went_in() -> None:
    frame = make_frame(ASK, request_id=9, is_reply=True, count=3, table=b"tab", body=b"body")
    assert feed(FrameDecoder(LIMITS), frame) == [Seen(ASK, True, 9, 3, b"tab", b"body")]


def test_a_frame_is_made_of_views_into_the_buffer() -> None:
    decoder = FrameDecoder(LIMITS)
    space = decoder.space()
    data = make_frame(ASK, table=b"tab", body=b"body")
    space[: len(data)] = data
    decoder.on_received(len(data))
    (frame,) = decoder.frames()
    assert frame.table.obj is space.obj
    assert frame.body.obj is space.obj


def test_a_frame_byte_by_byte_comes_once_when_it_is_whole() -> None:
    decoder = FrameDecoder(LIMITS)
    data = make_frame(ASK, table=b"tab", body=b"body")
    found = [feed(decoder, bytes([byte])) for byte in data]
    assert found[:-1] == [[]] * (len(data) - 1)
    assert len(found[-1]) == 1


def test_it_lacks_bytes_but_for_its_header_and_its_end() -> None:
    decoder = FrameDecoder(LIMITS)
    data = make_frame(ASK, table=b"tab", body=b"body")
    looked_at = []
    for at, byte in enumerate(data):
        decoder.space()[0] = byte
        decoder.on_received(1)
        lacks_bytes, frames = decoder.lacks_bytes, list(decoder.frames())
        if not lacks_bytes:
            looked_at.append((at + 1, len(frames)))
    assert looked_at == [(HEADER_BYTES, 0), (len(data), 1)]


def test_the_largest_frame_fits_and_the_decoder_goes_on_after_it() -> None:
    decoder = FrameDecoder(LARGEST)
    body = bytes(range(256)) * ((FRAME_BYTES_MAX - HEADER_BYTES - 1024) // 256)
    data = make_frame(ASK, table=bytes(1024), body=body)
    assert len(data) > DECODER_BYTES_START
    found = feed(decoder, make_frame(ASK, table=b"first") + data + make_frame(ASK, table=b"last"))
    assert [frame.table[:5] for frame in found] == [b"first", bytes(5), b"last"]
    assert found[1].body == body
    assert len(decoder.space()) == FRAME_BYTES_MAX


def test_many_frames_pass_through_a_buffer_of_fixed_size() -> None:
    decoder = FrameDecoder(LIMITS)
    frames = [make_frame(TELL, count=i % 64, body=bytes([i % 256]) * 7001) for i in range(200)]
    found = feed(decoder, b"".join(frames))
    assert [frame.body[0] for frame in found] == [i % 256 for i in range(200)]
    assert unread_bytes(decoder) == 0
    assert len(decoder.space()) == DECODER_BYTES_START


def test_space_is_never_empty_even_behind_an_almost_whole_frame() -> None:
    decoder = FrameDecoder(LARGEST)
    data = make_frame(ASK, body=bytes(FRAME_BYTES_MAX - HEADER_BYTES - 1024))
    feed(decoder, data[:-1])
    assert len(decoder.space()) >= 1
    assert len(feed(decoder, data[-1:])) == 1


def header(**changes: int) -> bytes:
    fields = {
        "magic": MAGIC,
        "version": PROTOCOL_VERSION,
        "type": ASK,
        "flags": 0,
        "reserved": 0,
        "count": 0,
        "request_id": 0,
        "table_bytes": 0,
        "body_bytes": 0,
    }
    return HEADER.pack(*(fields | changes).values())


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"magic": 0x5032}, "magic 0x5032, expected 0x3252"),
        ({"version": 2}, "protocol version 2, expected 1"),
        ({"type": 99}, "frame type 99"),
        ({"type": 0}, "frame type 0"),
        ({"flags": 2}, "flags 0x02"),
        ({"flags": 0xFF}, "flags 0xff"),
        ({"reserved": 7}, "reserved byte 7"),
        ({"count": 65}, "count 65 in frame type 16, at most 64"),
        ({"table_bytes": 1025}, "table bytes 1025 in frame type 16, at most 1024"),
        ({"table_bytes": 0xFFFFFFFF}, "table bytes 4294967295"),
        ({"body_bytes": 300_001}, "body bytes 300001 in frame type 16, at most 300000"),
        ({"body_bytes": 0xFFFFFFFF}, "body bytes 4294967295"),
        ({"flags": 1}, "a reply of frame type 16 with request id 0"),
        ({"type": LinkType.KEEPALIVE, "body_bytes": 1}, "body bytes 1 in frame type 3, at most 0"),
        ({"type": LinkType.HELLO, "table_bytes": 2049}, "table bytes 2049 in frame type 1"),
    ],
)
def test_a_bad_header_is_refused_before_its_body_is_awaited(
    changes: dict[str, int], phrase: str
) -> None:
    decoder = FrameDecoder(LIMITS)
    with pytest.raises(RemoteProtocolError, match=phrase):
        feed(decoder, header(**changes))
    with pytest.raises(RemoteProtocolError, match=phrase):
        list(decoder.frames())


def test_good_frames_before_a_bad_header_still_come() -> None:
    decoder = FrameDecoder(LIMITS)
    data = make_frame(ASK, table=b"good") + header(reserved=1)
    decoder.space()[: len(data)] = data
    decoder.on_received(len(data))
    frames = decoder.frames()
    assert bytes(next(frames).table) == b"good"
    with pytest.raises(RemoteProtocolError):
        next(frames)


def test_types_may_be_allowed_in_the_middle_of_what_one_receive_brought() -> None:
    decoder = FrameDecoder({})
    data = make_frame(LinkType.KEEPALIVE) + make_frame(ASK)
    decoder.space()[: len(data)] = data
    decoder.on_received(len(data))
    frames = decoder.frames()
    assert next(frames).type == LinkType.KEEPALIVE
    decoder.allow(LIMITS)
    assert next(frames).type == ASK


def test_limits_that_no_decoder_could_hold_are_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError):
        FrameDecoder({ASK: FrameLimits(1, 1024, FRAME_BYTES_MAX)})


def test_a_single_frame_decodes() -> None:
    assert decode_one(make_frame(ASK, request_id=4)).request_id == 4
