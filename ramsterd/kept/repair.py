"""Stores what a judgement wants repaired.

Each store leaves something that is judged the same or better, so a process that ends in between
does no harm.
"""

from ramsterd.core.block_columns import pack_block, unpack_block
from ramsterd.core.rows import (
    HALVES_PER_ROW,
    LOCATION,
    PACKED,
    QUARTERS_PER_ROW,
    TAIL,
    WORDS_PER_ROW,
    pack_tail,
)
from ramsterd.kept.judge import Judgement, Tables


def repair(tables: Tables, judgement: Judgement) -> None:
    """Change rows, entries and blocks as the judgement says."""
    words, halves, quarters = (tables.rows.cast(code) for code in ("Q", "I", "H"))
    for address, entry in judgement.entries_to_repair.items():
        tables.entries[address] = entry
    for row, (location, holders) in judgement.rows_to_repair.items():
        packed = quarters[row * QUARTERS_PER_ROW + PACKED]
        words[row * WORDS_PER_ROW + TAIL] = pack_tail(packed, holders)
        halves[row * HALVES_PER_ROW + LOCATION] = location
    for block, family in judgement.blocks_to_repair.items():
        stamp, _, chunks = unpack_block(tables.blocks[block])
        tables.blocks[block] = pack_block(stamp, family, chunks)
