"""A page to a zpage and back: same-filled, compressed or raw, and always with a checksum.

The only importer of lz4, zstandard and xxhash.  An encoded page is a *packed* number (codec and
length in 16 bits, as it stands in a row and on the wire), its zpage, and xxh3_64 of the page
itself.  lz4 alone accepts most flipped bits, so the checksum is of what the client wrote and is
checked on every get.

Each pool has a compressor; what it made is told apart by its number, so one decoder reads them all.
zstd is an extra (`ramster[zstd]`): without it no pool can ask for it, and holders need it for
nothing, for they unpack nothing.
"""

import enum
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, TypeAlias

import lz4.block
import xxhash

from config.model import PoolCodec
from ramsterd.core.page import PAGE_BYTES, CorruptPage


class Codec(enum.IntEnum):
    """The encoding of a zpage.  Numbers travel between nodes: append only."""

    LZ4 = 0
    RAW = 1
    FILL = 2  # all 8-byte words equal: no zpage, the word stands in place of the checksum
    ZSTD = 3


CODEC_SHIFT: Final = 13
PACKED_MAX: Final = 0xFFFF
ZPAGE_BYTES_MASK: Final = (1 << CODEC_SHIFT) - 1
PACKED_RAW: Final = Codec.RAW << CODEC_SHIFT | PAGE_BYTES
PACKED_FILL: Final = Codec.FILL << CODEC_SHIFT
WORD_BYTES: Final = 8
WORDS_PER_PAGE: Final = PAGE_BYTES // WORD_BYTES
# A page that does not shrink below 7/8 is kept raw: unpacking it would cost more than it saves
# (zcache's bound).
ZPAGE_BYTES_MAX: Final = PAGE_BYTES * 7 // 8
PACKED_ZSTD: Final = Codec.ZSTD << CODEC_SHIFT
# All of a zpage that has bytes.
PACKED_WITH_BYTES: Final = frozenset(
    {
        PACKED_RAW,
        *range(1, ZPAGE_BYTES_MAX + 1),
        *range(PACKED_ZSTD + 1, PACKED_ZSTD + ZPAGE_BYTES_MAX + 1),
    }
)
# Higher levels gain a few per cent on pages of 4 KiB and take several times as long.
ZSTD_LEVEL: Final = 3

assert PAGE_BYTES <= ZPAGE_BYTES_MASK
assert max(Codec) << CODEC_SHIFT <= PACKED_MAX

Compress: TypeAlias = Callable[[bytes | memoryview], bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Compressor:
    """How the pages of a pool are packed: a function from a page to fewer bytes, and the codec as it stands in numbers."""

    compress: Compress
    tag: int


class CodecMissing(Exception):
    """A pool wants a codec whose library is not installed; the message says how to get it."""


checksum_of = xxhash.xxh3_64_intdigest
_decompress = lz4.block.decompress
LZ4: Final = Compressor(partial(lz4.block.compress, store_size=False), Codec.LZ4 << CODEC_SHIFT)


def _as_it_is(page: bytes | memoryview) -> bytes | memoryview:
    return page


# What does not shrink is raw.
NONE: Final = Compressor(_as_it_is, Codec.RAW << CODEC_SHIFT)


def zpage_bytes(packed: int) -> int:
    """Return the length of a zpage."""
    return packed & ZPAGE_BYTES_MASK


def is_same_filled(page: bytes | memoryview) -> bool:
    """Whether all 8-byte words of a page are equal.

    Who asks has seen that the first and the last are.
    """
    return bytes(page) == bytes(page[:WORD_BYTES]) * WORDS_PER_PAGE


def encode_page(page: bytes, compressor: Compressor = LZ4) -> tuple[int, bytes, int]:
    """Return (packed, zpage, checksum) of one page of `PAGE_BYTES`.

    The put path of core.hot does the same for a run, with everything in local names.
    """
    if page[:WORD_BYTES] == page[-WORD_BYTES:] and is_same_filled(page):
        return PACKED_FILL, b"", int.from_bytes(page[:WORD_BYTES], sys.byteorder)
    zpage = compressor.compress(page)
    if len(zpage) > ZPAGE_BYTES_MAX:
        return PACKED_RAW, page, checksum_of(page)
    return compressor.tag | len(zpage), bytes(zpage), checksum_of(page)


@cache
def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  an extra: only who asks for it needs it
    except ImportError:
        raise CodecMissing("zstd needs the package zstandard: install ramster[zstd]") from None
    return zstandard


def import_codecs() -> None:
    """Import what is installed of the codecs that clients may ask for later, when memory may be short."""
    with suppress(CodecMissing):
        _zstandard()


@cache
def _zstd() -> Compressor:
    compressor = _zstandard().ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False)
    return Compressor(compressor.compress, PACKED_ZSTD)


@cache
def _zstd_decompress() -> Callable[[bytes | memoryview], bytes]:
    zstandard = _zstandard()
    decompress = zstandard.ZstdDecompressor().decompress

    def decode(zpage: bytes | memoryview) -> bytes:
        # The header may claim any size, and that much would be allocated.
        try:
            claimed = zstandard.frame_content_size(zpage)
            if claimed != PAGE_BYTES:
                raise CorruptPage(f"a zstd frame of {claimed} bytes, not a page")
            page: bytes = decompress(zpage, max_output_size=PAGE_BYTES)
        except zstandard.ZstdError as error:
            raise CorruptPage(str(error)) from error
        return page

    return decode


def compressor_of(codec: PoolCodec) -> Compressor:
    """Return what packs the pages of a pool.

    Raises:
        CodecMissing: Its library is not installed.
    """
    match codec:
        case PoolCodec.LZ4:
            return LZ4
        case PoolCodec.NONE:
            return NONE
        case PoolCodec.ZSTD:
            return _zstd()


def decode_page(packed: int, zpage: bytes | memoryview, checksum: int) -> bytes:
    """Return the page.

    Raises:
        CorruptPage: The zpage is not what was stored.
    """
    if packed <= ZPAGE_BYTES_MAX:
        try:
            page: bytes = _decompress(zpage, uncompressed_size=PAGE_BYTES)
        except (lz4.block.LZ4BlockError, ValueError) as error:
            raise CorruptPage(str(error)) from error
    elif packed == PACKED_FILL:
        return checksum.to_bytes(WORD_BYTES, sys.byteorder) * WORDS_PER_PAGE
    elif packed == PACKED_RAW:
        page = bytes(zpage)
    elif PACKED_ZSTD < packed <= PACKED_ZSTD + ZPAGE_BYTES_MAX:
        page = _zstd_decompress()(zpage)
    else:
        raise CorruptPage(f"codec and length {packed:#06x} name no encoding")
    if len(page) != PAGE_BYTES:  # a short page is not an error to lz4
        raise CorruptPage(f"{len(page)} bytes, not a page")
    if checksum_of(page) != checksum:
        raise CorruptPage("the checksum differs")
    return page


def decode_same(packed: int, code: int, zpage: bytes | memoryview, checksum: int) -> bytes | None:
    """Return the page if a zpage from a peer, with what it says of it, is what was packed."""
    if code != packed:
        return None
    try:
        return decode_page(code, zpage, checksum)
    except CorruptPage:
        return None


def is_packed_valid(packed: int) -> bool:
    """Whether a number from a peer can be the packed form of a zpage that has bytes."""
    return packed in PACKED_WITH_BYTES
