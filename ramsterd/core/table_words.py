"""What the words of the page table mean: entries, the records of nodes and of objects.

All of it outlives the process if its memory is kept (ramsterd.kept): one word is one store, and so
what commits a change is always a word.
"""

import struct
import sys
from typing import Final

from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX

# An entry of a leaf is one of these, or the number of a row; an entry of a directory is HOLE, ZERO,
# or a node.
HOLE: Final = 0
ZERO: Final = 1
# The last copy is gone, or a put that would have replaced it was refused.  Reads fail until put or
# flush.
LOST: Final = 2

LEAF_SHIFT: Final = 6
LEAF_PAGES: Final = 1 << LEAF_SHIFT
# Nodes HOLE and ZERO are shared.
FIRST_NODE: Final = 2
ENTRY_BYTES: Final = 4
NODE_BYTES: Final = LEAF_PAGES * ENTRY_BYTES
# Addresses of entries have 32 bits.
NODES_MAX: Final = 1 << 32 - LEAF_SHIFT

# A node has a record of two words: its place, and the number of its object (0: the node is free).
# A place is level << 48 | base.  Level 0 is a leaf; `base` is the first index >> LEAF_SHIFT *
# (level + 1).
NODE_WORDS: Final = 2
NODE_PLACE: Final = 0
NODE_OBJECT: Final = 1
WORD_BYTES: Final = 8
LEVEL_SHIFT: Final = 48
_BASE_MASK: Final = (1 << LEVEL_SHIFT) - 1
LEVELS: Final = -(-INDEX_MAX.bit_length() // LEAF_SHIFT)

# An object: root word u64 | pool u32 (0: the object is free) | length of the id u32 | id | link
# u32, for free ones.
OBJECT: Final = struct.Struct(f"=QII{OBJECT_ID_BYTES_MAX}sI20x")
OBJECT_BYTES: Final = 64
FIRST_OBJECT: Final = 1
# Where fields stand: the root in 64-bit words of an object, the others in 32-bit words.
OBJECT_ROOT: Final = 0
OBJECT_POOL: Final = 2
OBJECT_LINK: Final = 10
# A root word is the number of a node, 0 for an object without pages, or this bit and the place of a
# root of zeros.
ROOT_OF_ZEROS: Final = 1 << 63

# What a node full of HOLE, and one full of ZERO, holds.
FILLED: Final = tuple(
    memoryview(entry.to_bytes(ENTRY_BYTES, sys.byteorder) * LEAF_PAGES).cast("I")
    for entry in (HOLE, ZERO)
)

assert OBJECT.size == OBJECT_BYTES
assert struct.calcsize(f"=QII{OBJECT_ID_BYTES_MAX}s") == OBJECT_LINK * ENTRY_BYTES
assert INDEX_MAX >> LEAF_SHIFT <= _BASE_MASK
assert LEVELS < 1 << 63 - LEVEL_SHIFT
assert NODES_MAX < ROOT_OF_ZEROS


def pack_place(level: int, base: int) -> int:
    """Return where a node stands in its object, as one word."""
    return level << LEVEL_SHIFT | base


def unpack_place(word: int) -> tuple[int, int]:
    """Return (level, base)."""
    return word >> LEVEL_SHIFT, word & _BASE_MASK


def pack_root_of_zeros(level: int, base: int) -> int:
    """Return the root word of an object all of whose pages are zeros, and need no node."""
    return ROOT_OF_ZEROS | pack_place(level, base)


def unpack_root(word: int) -> tuple[int, int]:
    """Return (node, place word of zeros): one of them, or neither."""
    return (0, word ^ ROOT_OF_ZEROS) if word & ROOT_OF_ZEROS else (word, 0)


def is_root_of_zeros(word: int) -> bool:
    """Whether a root word says that all pages are zeros."""
    return word & ROOT_OF_ZEROS != 0
