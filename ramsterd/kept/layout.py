"""Which mappings are kept, and what their items look like.  Pure.

Rows, nodes, objects, slots and zpages look as in `ramsterd.core`; what a restart needs beside them
is here.  All of it is in native byte order and read by this release alone: `LAYOUT_VERSION` rises
with each change, and the layout hash catches what was forgotten.
"""

import re
import sys
from typing import Final, TypeAlias

from config.limits import COPIES_MAX, PAGE_BYTES
from ramsterd.core.arena import FRAME_BYTES
from ramsterd.core.block_columns import FAMILY_SHIFT, STAMP_SHIFT
from ramsterd.core.codec import CODEC_SHIFT, Codec, checksum_of
from ramsterd.core.family import Family
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX
from ramsterd.core.redo import REDO_BYTES, REDO_COMMIT, REDO_ROW, REDO_ZBYTES, REDO_ZPAGE
from ramsterd.core.rows import ADDRESS, FIRST_ROW, HOLDERS, LOCATION, PACKED, ROW
from ramsterd.core.size_classes import BLOCK_SHIFT, CHUNK_BYTES, SLOT_SHIFT, SLOTS_OF_CLASS
from ramsterd.core.table_words import (
    FIRST_NODE,
    FIRST_OBJECT,
    HOLE,
    LEAF_SHIFT,
    LEVEL_SHIFT,
    LOST,
    NODE_OBJECT,
    NODE_PLACE,
    NODE_WORDS,
    OBJECT,
    ROOT_OF_ZEROS,
    ZERO,
)

LAYOUT_VERSION: Final = 1
_NAME: Final = re.compile(r"([1-9][0-9]{0,8})-([0-9a-f]{16})")
# (first, stop) of items whose memory is there: to read a hole would make it resident.
Span: TypeAlias = tuple[int, int]
SUPER: Final = "super"
SUPER_BYTES: Final = 4096
# In the order in which `super` names their lengths.
MAPPINGS: Final = (
    "redo", "names", "objects", "nodes", "blocks", "arena", "rows", "entries", "slots",
)  # fmt: skip


def layout_hash() -> int:
    """Return a number that differs if anything differs in how items look."""
    facts = (
        sys.byteorder, FRAME_BYTES, PAGE_BYTES, COPIES_MAX,
        ROW.format, FIRST_ROW, ADDRESS, LOCATION, PACKED, HOLDERS,
        HOLE, ZERO, LOST, FIRST_NODE, LEAF_SHIFT, NODE_WORDS, NODE_PLACE, NODE_OBJECT, LEVEL_SHIFT,
        OBJECT.format, FIRST_OBJECT, OBJECT_ID_BYTES_MAX, INDEX_MAX, ROOT_OF_ZEROS,
        BLOCK_SHIFT, SLOT_SHIFT, CHUNK_BYTES, SLOTS_OF_CLASS, STAMP_SHIFT, FAMILY_SHIFT,
        REDO_BYTES, REDO_COMMIT, REDO_ZBYTES, REDO_ROW, REDO_ZPAGE,
        [int(family) for family in Family], CODEC_SHIFT, [int(codec) for codec in Codec],
        MAPPINGS,
    )  # fmt: skip
    return checksum_of(repr(facts).encode())


def layout_name() -> str:
    """Return what tells the layout of this release from any other."""
    return f"{LAYOUT_VERSION}-{layout_hash():016x}"


def parse_layout(name: str) -> tuple[int, int]:
    """Return the version and the hash of a layout.

    Raises:
        ValueError: That is no name of one.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"found {name!r}, expected the name of a layout, such as {layout_name()}")
    return int(found[1]), int(found[2], 16)
