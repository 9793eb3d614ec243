import random
import sys

import pytest
import zstandard

from config.model import PoolCodec
from ramsterd.core import codec
from ramsterd.core.codec import (
    PACKED_FILL,
    PACKED_RAW,
    PACKED_ZSTD,
    ZPAGE_BYTES_MAX,
    Codec,
    CodecMissing,
    checksum_of,
    compressor_of,
    decode_page,
    encode_page,
    is_packed_valid,
    zpage_bytes,
)
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, CorruptPage, PoolKind
from ramsterd.core.pool_identity import program_pool
from tests.helpers.made_pages import joined, make_fill, make_page, make_run, make_store


def test_a_page_of_zeros_has_no_zpage() -> None:
    assert encode_page(ZERO_PAGE) == (PACKED_FILL, b"", 0)


def test_a_same_filled_page_is_its_word() -> None:
    page = make_fill(0x1122334455667788)
    assert encode_page(page) == (PACKED_FILL, b"", 0x1122334455667788)
    assert decode_page(PACKED_FILL, b"", 0x1122334455667788) == page


def test_a_page_with_equal_ends_need_not_be_same_filled() -> None:
    page = bytes(100) + b"x" + bytes(PAGE_BYTES - 101)
    packed, zpage, checksum = encode_page(page)
    assert packed >> 13 == Codec.LZ4
    assert decode_page(packed, zpage, checksum) == page


def test_a_page_that_does_not_shrink_is_kept_raw() -> None:
    page = make_page(PAGE_BYTES)
    assert encode_page(page) == (PACKED_RAW, page, checksum_of(page))
    assert zpage_bytes(PACKED_RAW) == PAGE_BYTES


def test_the_bound_of_lz4_is_reached_and_not_passed() -> None:
    sizes = [zpage_bytes(encode_page(make_page(zbytes))[0]) for zbytes in range(3500, 3700)]
    assert max(size for size in sizes if size != PAGE_BYTES) == ZPAGE_BYTES_MAX
    assert PAGE_BYTES in sizes


@pytest.mark.parametrize(
    "packed", [ZPAGE_BYTES_MAX + 1, PAGE_BYTES, PACKED_RAW - 1, 3 << 13, 0xFFFF]
)
def test_a_number_that_names_no_encoding_is_corrupt(packed: int) -> None:
    assert not is_packed_valid(packed)
    with pytest.raises(CorruptPage, match="name no encoding"):
        decode_page(packed, bytes(zpage_bytes(packed)), 0)


@pytest.mark.parametrize("packed", [1, ZPAGE_BYTES_MAX, PACKED_RAW])
def test_a_peer_may_send_what_has_bytes(packed: int) -> None:
    assert is_packed_valid(packed)


@pytest.mark.parametrize("packed", [0, PACKED_FILL])
def test_a_peer_may_not_send_what_has_no_bytes(packed: int) -> None:
    assert not is_packed_valid(packed)


def test_a_short_page_is_corrupt() -> None:
    with pytest.raises(CorruptPage, match="not a page"):
        decode_page(PACKED_RAW, bytes(100), checksum_of(bytes(100)))


def test_no_flipped_bit_gets_past_the_checksum() -> None:
    page = b"ramster " * 200 + random.Random(1).randbytes(1000)
    page += bytes(PAGE_BYTES - len(page))
    packed, zpage, checksum = encode_page(page)
    for bit in range(0, 8 * len(zpage), 7):
        damaged = bytearray(zpage)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_page(packed, bytes(damaged), checksum) == page
        except CorruptPage:
            continue


def test_zstd_packs_smaller_and_is_told_by_its_number() -> None:
    page = bytes(range(64)) * 10 + make_page(1000, 1)[: PAGE_BYTES - 640]
    packed, zpage, checksum = encode_page(page, compressor_of(PoolCodec.ZSTD))
    assert packed >> 13 == Codec.ZSTD
    assert is_packed_valid(packed)
    assert zpage_bytes(packed) == len(zpage) <= len(encode_page(page)[1])
    assert decode_page(packed, zpage, checksum) == page


@pytest.mark.parametrize("each", PoolCodec)
def test_with_every_codec_same_filled_pages_cost_nothing(each: PoolCodec) -> None:
    assert encode_page(ZERO_PAGE, compressor_of(each)) == (PACKED_FILL, b"", 0)
    assert encode_page(make_fill(7), compressor_of(each)) == (PACKED_FILL, b"", 7)


@pytest.mark.parametrize("each", PoolCodec)
def test_with_every_codec_a_page_that_does_not_shrink_is_raw(each: PoolCodec) -> None:
    page = make_page(PAGE_BYTES)
    assert encode_page(page, compressor_of(each)) == (PACKED_RAW, page, checksum_of(page))


def test_none_compresses_nothing() -> None:
    page = make_page(100)
    assert encode_page(page, compressor_of(PoolCodec.NONE)) == (PACKED_RAW, page, checksum_of(page))


@pytest.mark.parametrize("claimed", [0, 100, 4095, 4097, 1 << 30])
def test_a_zstd_frame_that_is_not_of_a_page_is_corrupt(claimed: int) -> None:
    """The largest has only a header: it must be refused before anything is allocated."""
    frame = zstandard.ZstdCompressor().compress(bytes(min(claimed, 5000)))
    if claimed == 1 << 30:
        # RFC 8878, section 3.1.1: magic, a descriptor with a content size of 4 bytes in one segment, the size.
        frame = b"\x28\xb5\x2f\xfd\xa0" + claimed.to_bytes(4, "little")
        assert zstandard.frame_content_size(frame) == claimed
    with pytest.raises(CorruptPage, match="not a page"):
        decode_page(PACKED_ZSTD | len(frame), frame, 0)


def test_without_zstandard_a_pool_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    codec._zstandard.cache_clear()
    codec._zstd.cache_clear()
    with pytest.raises(CodecMissing, match=r"install ramster\[zstd\]"):
        compressor_of(PoolCodec.ZSTD)
    assert compressor_of(PoolCodec.LZ4) is codec.LZ4


def test_pools_with_different_codecs_share_a_store() -> None:
    store = make_store()
    pools = [
        store.new_pool(PoolKind.PERSISTENT, program_pool(each), codec=each) for each in PoolCodec
    ]
    run = make_run(1200, 40)
    for pool in pools:
        assert store.put(pool, b"", 0, joined(run)) == 40
    for pool in pools:
        assert store.get(pool, b"", 0, 40).pages == run
    store.check_invariants()
