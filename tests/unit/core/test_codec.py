import random

import pytest

from ramsterd.core.codec import (
    LZ4_BYTES_MAX,
    PACKED_FILL,
    PACKED_RAW,
    Codec,
    checksum_of,
    decode_page,
    encode_page,
    is_packed_valid,
    zpage_bytes,
)
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, CorruptPage
from tests.unit.core.made_pages import make_fill, make_page


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
    assert max(size for size in sizes if size != PAGE_BYTES) == LZ4_BYTES_MAX
    assert PAGE_BYTES in sizes


@pytest.mark.parametrize("packed", [LZ4_BYTES_MAX + 1, PAGE_BYTES, PACKED_RAW - 1, 3 << 13, 0xFFFF])
def test_a_number_that_names_no_encoding_is_corrupt(packed: int) -> None:
    assert not is_packed_valid(packed)
    with pytest.raises(CorruptPage, match="name no encoding"):
        decode_page(packed, bytes(zpage_bytes(packed)), 0)


@pytest.mark.parametrize("packed", [1, LZ4_BYTES_MAX, PACKED_RAW])
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
