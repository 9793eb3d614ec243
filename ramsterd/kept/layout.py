"""Which mappings are kept, and what their items look like.  Pure.

Rows, entries, slots and zpages look as in `ramsterd.core`; what a restart needs beside them is here.  All of it is in
native byte order and read by this release alone: `LAYOUT_VERSION` rises with each change, and the layout hash catches
what was forgotten.
"""

import struct
import sys
from typing import Final, TypeAlias

from config.limits import COPIES_MAX, PAGE_BYTES
from ramsterd.core.arena import FRAME_BYTES
from ramsterd.core.block_columns import FAMILY_SHIFT, STAMP_SHIFT
from ramsterd.core.codec import CODEC_SHIFT, Codec, checksum_of
from ramsterd.core.family import Family
from ramsterd.core.nodes import FIRST_NODE, HOLE, LEAF_SHIFT, LOST, NODES_MAX, ZERO
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX
from ramsterd.core.redo import REDO_BYTES, REDO_COMMIT, REDO_ROW, REDO_ZBYTES, REDO_ZPAGE
from ramsterd.core.rows import ADDRESS, FIRST_ROW, HOLDERS, LOCATION, PACKED, ROW
from ramsterd.core.size_classes import BLOCK_SHIFT, CHUNK_BYTES, SLOT_SHIFT, SLOTS_OF_CLASS

LAYOUT_VERSION: Final = 1
# (first, stop) of items whose memory is there: to read a hole would make it resident.
Span: TypeAlias = tuple[int, int]
SUPER: Final = "super"
SUPER_BYTES: Final = 4096
# In the order in which `super` names their lengths.
MAPPINGS: Final = (
    "redo", "names", "objects", "nodes", "blocks", "arena", "rows", "entries", "slots",
)  # fmt: skip

# A node of the page table has two words: level and base, and the number of its object (0: the node is free).
# Level 0 is a leaf; `base` is the first index >> LEAF_SHIFT * (level + 1).
NODE_WORDS: Final = 2
NODE_PLACE: Final = 0
NODE_OBJECT: Final = 1
_LEVEL_SHIFT: Final = 48
_BASE_MASK: Final = (1 << _LEVEL_SHIFT) - 1
LEVELS: Final = -(-INDEX_MAX.bit_length() // LEAF_SHIFT)

# An object: root word u64 | pool u32 (0: the object is free) | length of the id u32 | id | link u32, for free ones.
OBJECT: Final = struct.Struct(f"=QII{OBJECT_ID_BYTES_MAX}sI20x")
OBJECT_BYTES: Final = 64
FIRST_OBJECT: Final = 1
# A root word is the number of a node, 0 for an object without pages, or this bit and the place of a root of zeros.
_ZEROS: Final = 1 << 63

assert OBJECT.size == OBJECT_BYTES
assert INDEX_MAX >> LEAF_SHIFT <= _BASE_MASK
assert LEVELS < 1 << 63 - _LEVEL_SHIFT
assert NODES_MAX < _ZEROS


def pack_place(level: int, base: int) -> int:
    """Return where a node stands in its object, as one word."""
    return level << _LEVEL_SHIFT | base


def unpack_place(word: int) -> tuple[int, int]:
    """Return (level, base)."""
    return word >> _LEVEL_SHIFT, word & _BASE_MASK


def pack_root_of_zeros(level: int, base: int) -> int:
    """Return the root word of an object all of whose pages are zeros, and need no node."""
    return _ZEROS | pack_place(level, base)


def unpack_root(word: int) -> tuple[int, int]:
    """Return (node, place word of zeros): one of them, or neither."""
    return (0, word ^ _ZEROS) if word & _ZEROS else (word, 0)


def is_root_of_zeros(word: int) -> bool:
    """Whether a root word says that all pages are zeros."""
    return word & _ZEROS != 0


def layout_hash() -> int:
    """Return a number that differs if anything differs in how items look."""
    facts = (
        sys.byteorder, FRAME_BYTES, PAGE_BYTES, COPIES_MAX,
        ROW.format, FIRST_ROW, ADDRESS, LOCATION, PACKED, HOLDERS,
        HOLE, ZERO, LOST, FIRST_NODE, LEAF_SHIFT, NODE_WORDS, NODE_PLACE, NODE_OBJECT, _LEVEL_SHIFT,
        OBJECT.format, FIRST_OBJECT, OBJECT_ID_BYTES_MAX, INDEX_MAX, _ZEROS,
        BLOCK_SHIFT, SLOT_SHIFT, CHUNK_BYTES, SLOTS_OF_CLASS, STAMP_SHIFT, FAMILY_SHIFT,
        REDO_BYTES, REDO_COMMIT, REDO_ZBYTES, REDO_ROW, REDO_ZPAGE,
        [int(family) for family in Family], CODEC_SHIFT, [int(codec) for codec in Codec],
        MAPPINGS,
    )  # fmt: skip
    return checksum_of(repr(facts).encode())
