from net.buffers import SPARE_BUFFERS_MAX, BufferPool
from net.frame import DECODER_BYTES_START, FRAME_BYTES_MAX, HEADER_BYTES, FrameDecoder
from tests.helpers.buffers import spare_bytes, unread_bytes
from tests.helpers.links import ASK, LIMITS, feed, make_frame


def test_a_buffer_that_came_back_is_the_next() -> None:
    pool = BufferPool()
    first = pool.take(100)
    pool.give_back(first)
    assert spare_bytes(pool) == 100
    assert pool.take(200) is not first, "one of another size"
    assert pool.take(100) is first
    assert spare_bytes(pool) == 0


def test_of_many_that_come_back_a_few_are_kept() -> None:
    pool = BufferPool()
    for buffer in [pool.take(100) for _ in range(SPARE_BUFFERS_MAX + 3)]:
        pool.give_back(buffer)
    assert spare_bytes(pool) == SPARE_BUFFERS_MAX * 100


def test_a_thousand_idle_decoders_share_what_one_needs() -> None:
    pool = BufferPool()
    frame = make_frame(ASK, body=b"x" * 1000)
    decoders = [FrameDecoder(LIMITS, pool=pool) for _ in range(1000)]
    for decoder in decoders:
        assert not feed(decoder, frame[:-1])
        decoder.on_idle()
        assert unread_bytes(decoder) == len(frame) - 1
    assert spare_bytes(pool) == DECODER_BYTES_START
    for decoder in decoders:
        [seen] = feed(decoder, frame[-1:])
        assert seen.body == b"x" * 1000
        decoder.on_idle()
    assert spare_bytes(pool) == DECODER_BYTES_START


def test_a_long_frame_keeps_its_buffer_until_it_is_whole() -> None:
    pool = BufferPool()
    decoder = FrameDecoder({ASK: LIMITS[ASK]}, pool=pool)
    frame = make_frame(ASK, body=bytes(300_000))
    feed(decoder, frame[:-1])
    decoder.on_idle()
    assert spare_bytes(pool) == DECODER_BYTES_START, "the one that it outgrew"
    assert len(feed(decoder, frame[-1:])) == 1
    decoder.on_idle()
    assert spare_bytes(pool) == DECODER_BYTES_START + FRAME_BYTES_MAX


def test_what_is_kept_is_read_without_another_receive() -> None:
    decoder = FrameDecoder(LIMITS, pool=BufferPool())
    frame = make_frame(ASK)
    decoder.space()[: 2 * HEADER_BYTES] = frame + frame
    decoder.on_received(2 * HEADER_BYTES)
    next(decoder.frames())
    decoder.on_idle()
    assert [each.type for each in decoder.frames()] == [ASK]


def test_a_closed_decoder_holds_nothing() -> None:
    pool = BufferPool()
    decoder = FrameDecoder(LIMITS, pool=pool)
    feed(decoder, make_frame(ASK, body=bytes(300_000))[:-1])
    decoder.close()
    assert spare_bytes(pool) == DECODER_BYTES_START + FRAME_BYTES_MAX
    decoder.close()
    assert unread_bytes(decoder) == 0
