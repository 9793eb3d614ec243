"""Pages that say what they are: node, index and version, which no other page has."""

import random
import struct
from functools import lru_cache
from typing import Final, TypeAlias

from ramsterd.core.page import PAGE_BYTES

OBJECT: Final = b"disk"
# Added to the number of a node for the pages of its cache, or of its spill, which differ from those of its disk.
CACHE: Final = 1000
SPILL: Final = 2000
ZPAGE_BYTES: Final = (300, 900, 2000, PAGE_BYTES)
RAW_VERSIONS: Final = 1 << 30
# Each incarnation of a node begins with a version of its own: what an earlier one put must never be seen again.
VERSIONS_PER_INCARNATION: Final = 1 << 20
# What each page begins with, hidden under noise so that it packs no better than the rest.
IDENTITY: Final = struct.Struct("<QQQ")
NOISE: Final = IDENTITY.unpack(random.Random(0).randbytes(IDENTITY.size))
# What pages are filled from, each from a place of its own: noise that is made for each page takes five times as long.
FILLING: Final = random.Random(1).randbytes(1 << 20)
STRIDES: Final = (300_007, 4_099, 611_953)
Identity: TypeAlias = tuple[int, int, int]


@lru_cache(maxsize=1 << 14)
def make_page(node: int, index: int, version: int) -> bytes:
    """Return a page that no other node, index or version has; how well it packs depends on the index.

    Versions from `RAW_VERSIONS` on do not pack at all, so they do not fit where an earlier one stood.
    """
    size = PAGE_BYTES if version >= RAW_VERSIONS else ZPAGE_BYTES[index % len(ZPAGE_BYTES)]
    identity = IDENTITY.pack(*_hide((node, index, version)))
    places = (each * stride for each, stride in zip((node, index, version), STRIDES, strict=True))
    start = sum(places) % (len(FILLING) - PAGE_BYTES)
    return identity + FILLING[start : start + size - len(identity)] + bytes(PAGE_BYTES - size)


def identify(page: bytes) -> Identity | None:
    """Return the node, index and version of a page of `make_page`, None for any other bytes."""
    identity = _hide(IDENTITY.unpack_from(page))
    return identity if page == make_page(*identity) else None


def _hide(identity: Identity) -> Identity:
    """Hide an identity; twice, and it is seen again."""
    node, index, version = (each ^ noise for each, noise in zip(identity, NOISE, strict=True))
    return node, index, version
