"""A page to a zpage and back: same-filled, lz4 or raw, and always with a checksum.

The only importer of lz4 and xxhash.  An encoded page is a *packed* number (codec and length in 16 bits, as
it stands in a row and on the wire), its zpage, and xxh3_64 of the page itself.  lz4 alone accepts most
flipped bits, so the checksum is of what the client wrote and is checked on every get.
"""

import enum
from typing import Final

import lz4.block
import xxhash

from ramsterd.core.page import PAGE_BYTES, CorruptPage


class Codec(enum.IntEnum):
    """How a zpage is encoded.  Numbers travel between nodes: append only."""

    LZ4 = 0
    RAW = 1
    FILL = 2  # all 8-byte words equal: no zpage, the word stands in place of the checksum


CODEC_SHIFT: Final = 13
PACKED_MAX: Final = 0xFFFF
ZPAGE_BYTES_MASK: Final = (1 << CODEC_SHIFT) - 1
PACKED_RAW: Final = Codec.RAW << CODEC_SHIFT | PAGE_BYTES
PACKED_FILL: Final = Codec.FILL << CODEC_SHIFT
WORD_BYTES: Final = 8
WORDS_PER_PAGE: Final = PAGE_BYTES // WORD_BYTES
# A page that does not shrink below 7/8 is kept raw: unpacking it would cost more than it saves (zcache's bound).
LZ4_BYTES_MAX: Final = PAGE_BYTES * 7 // 8

assert PAGE_BYTES <= ZPAGE_BYTES_MASK
assert max(Codec) << CODEC_SHIFT <= PACKED_MAX

checksum_of = xxhash.xxh3_64_intdigest
_compress = lz4.block.compress
_decompress = lz4.block.decompress


def zpage_bytes(packed: int) -> int:
    """Return the length of a zpage."""
    return packed & ZPAGE_BYTES_MASK


def encode_page(page: bytes) -> tuple[int, bytes, int]:
    """Return (packed, zpage, checksum) of one page of `PAGE_BYTES`."""
    if page[:WORD_BYTES] == page[-WORD_BYTES:] and page == page[:WORD_BYTES] * WORDS_PER_PAGE:
        return PACKED_FILL, b"", int.from_bytes(page[:WORD_BYTES], "little")
    zpage = _compress(page, store_size=False)
    packed = len(zpage)
    if packed > LZ4_BYTES_MAX:
        return PACKED_RAW, page, checksum_of(page)
    return packed, zpage, checksum_of(page)


def decode_page(packed: int, zpage: bytes | memoryview, checksum: int) -> bytes:
    """Return the page.

    Raises:
        CorruptPage: The zpage is not what was stored.
    """
    if packed <= LZ4_BYTES_MAX:
        try:
            page: bytes = _decompress(zpage, uncompressed_size=PAGE_BYTES)
        except (lz4.block.LZ4BlockError, ValueError) as error:
            raise CorruptPage(str(error)) from error
    elif packed == PACKED_FILL:
        return checksum.to_bytes(WORD_BYTES, "little") * WORDS_PER_PAGE
    elif packed == PACKED_RAW:
        page = bytes(zpage)
    else:
        raise CorruptPage(f"codec and length {packed:#06x} name no encoding")
    if len(page) != PAGE_BYTES:  # a short page is not an error to lz4
        raise CorruptPage(f"{len(page)} bytes, not a page")
    if checksum_of(page) != checksum:
        raise CorruptPage("the checksum differs")
    return page


def is_packed_valid(packed: int) -> bool:
    """Whether a number from a peer can be the packed form of a zpage that has bytes."""
    return 0 < packed <= LZ4_BYTES_MAX or packed == PACKED_RAW
