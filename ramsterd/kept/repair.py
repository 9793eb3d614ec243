"""Stores what a judgement wants repaired.

Each store leaves something that is judged the same or better, so a process that ends in between does no harm.
"""

import struct
import sys
from typing import Final

from ramsterd.core.rows import HALVES_PER_ROW, LOCATION, PACKED, QUARTERS_PER_ROW, WORDS_PER_ROW
from ramsterd.kept.judge import Judgement, Tables
from ramsterd.kept.layout import pack_block, unpack_block
from ramsterd.kept.suspects import normal_holders

# Codec and length, and the holders: the last word of a row.
_TAIL: Final = struct.Struct("=4H")
_TAIL_WORD: Final = PACKED * WORDS_PER_ROW // QUARTERS_PER_ROW

assert _TAIL_WORD * QUARTERS_PER_ROW == PACKED * WORDS_PER_ROW


def repair(tables: Tables, judgement: Judgement) -> None:
    """Change rows, entries and blocks as the judgement says."""
    words, halves, quarters = (tables.rows.cast(code) for code in ("Q", "I", "H"))
    for address, entry in judgement.entries_to_repair.items():
        tables.entries[address] = entry
    for row, (location, holders) in judgement.rows_to_repair.items():
        packed = quarters[row * QUARTERS_PER_ROW + PACKED]
        tail = _TAIL.pack(packed, *normal_holders(holders))
        # One store, or a holder might be named by none of the places that are looked at.
        words[row * WORDS_PER_ROW + _TAIL_WORD] = int.from_bytes(tail, sys.byteorder)
        halves[row * HALVES_PER_ROW + LOCATION] = location
    for block, family in judgement.blocks_to_repair.items():
        stamp, _, chunks = unpack_block(tables.blocks[block])
        tables.blocks[block] = pack_block(stamp, family, chunks)
