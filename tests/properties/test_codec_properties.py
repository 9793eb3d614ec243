"""Any page goes there and back; any bytes are the page or CorruptPage."""

import hypothesis.strategies as st
import pytest
import zstandard
from hypothesis import assume, example, given

from config.model import PoolCodec
from ramsterd.core.codec import (
    PACKED_FILL,
    PACKED_MAX,
    PACKED_RAW,
    PACKED_ZSTD,
    ZPAGE_BYTES_MAX,
    Compressor,
    compressor_of,
    decode_page,
    encode_page,
    is_packed_valid,
    zpage_bytes,
)
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, CorruptPage
from tests.helpers.made_pages import make_fill, make_page


def make_patterned_page(pattern: bytes, patches: dict[int, int]) -> bytes:
    """Return a page that repeats a pattern, except for some bytes."""
    page = bytearray((pattern * PAGE_BYTES)[:PAGE_BYTES])
    for place, value in patches.items():
        page[place] = value
    return bytes(page)


PATCHES = st.dictionaries(st.integers(0, PAGE_BYTES - 1), st.integers(0, 255), max_size=20)
PAGES = (
    st.builds(make_page, st.integers(0, PAGE_BYTES), st.integers(0, 1000))
    | st.builds(make_fill, st.integers(0, (1 << 64) - 1))
    | st.builds(make_patterned_page, st.binary(min_size=1, max_size=64), PATCHES)
)


COMPRESSORS = st.sampled_from([compressor_of(codec) for codec in PoolCodec])


@given(PAGES, COMPRESSORS)
@example(ZERO_PAGE, compressor_of(PoolCodec.ZSTD))
@example(make_page(PAGE_BYTES), compressor_of(PoolCodec.ZSTD))
def test_any_page_comes_back(page: bytes, compressor: Compressor) -> None:
    packed, zpage, checksum = encode_page(page, compressor)
    assert len(zpage) == zpage_bytes(packed)
    assert is_packed_valid(packed) == (packed != PACKED_FILL)
    assert 0 <= checksum < 1 << 64
    assert decode_page(packed, zpage, checksum) == page
    assert decode_page(packed, memoryview(zpage), checksum) == page


@given(PAGES, COMPRESSORS, st.lists(st.integers(0, 8 * PAGE_BYTES - 1), min_size=1, max_size=4))
def test_flipped_bits_give_the_page_or_corrupt_page(
    page: bytes, compressor: Compressor, bits: list[int]
) -> None:
    packed, zpage, checksum = encode_page(page, compressor)
    assume(zpage)
    damaged = bytearray(zpage)
    for bit in bits:
        damaged[bit // 8 % len(zpage)] ^= 1 << bit % 8
    try:
        assert decode_page(packed, bytes(damaged), checksum) == page
    except CorruptPage:
        assert damaged != zpage


@given(PAGES, st.integers(0, 63))
def test_a_flipped_bit_of_the_checksum_is_corrupt(page: bytes, bit: int) -> None:
    packed, zpage, checksum = encode_page(page)
    assume(zpage)
    with pytest.raises(CorruptPage, match="checksum differs"):
        decode_page(packed, zpage, checksum ^ 1 << bit)


@given(PAGES, COMPRESSORS, st.integers(1, PAGE_BYTES))
def test_a_zpage_cut_short_is_corrupt(page: bytes, compressor: Compressor, missing: int) -> None:
    packed, zpage, checksum = encode_page(page, compressor)
    assume(zpage)
    with pytest.raises(CorruptPage):
        decode_page(packed, zpage[:-missing], checksum)


NUMBERS = (
    st.integers(0, PACKED_MAX)
    | st.integers(0, ZPAGE_BYTES_MAX)
    | st.integers(PACKED_ZSTD, PACKED_ZSTD + ZPAGE_BYTES_MAX)
    | st.sampled_from([PACKED_RAW, PACKED_FILL])
)


ZSTD_FRAMES = st.builds(
    lambda content, level: zstandard.ZstdCompressor(level=level).compress(content),
    st.binary(max_size=64) | PAGES | PAGES.map(lambda page: page * 64),
    st.integers(1, 5),
)


@given(NUMBERS, st.binary(max_size=64) | PAGES | ZSTD_FRAMES, st.integers(0, (1 << 64) - 1))
def test_any_bytes_give_a_page_or_corrupt_page(packed: int, zpage: bytes, checksum: int) -> None:
    try:
        page = decode_page(packed, zpage, checksum)
    except CorruptPage:
        return
    # 64 bits of checksum do not match by chance: only a same-filled page has nothing to get wrong.
    assert packed == PACKED_FILL
    assert page == make_fill(checksum)
