"""The words of blocks, and what they say of each slot.  Pure."""

from typing import Final

from ramsterd.core.family import Family
from ramsterd.core.size_classes import CLASSES, SLOTS_MAX, SLOTS_OF_CLASS
from ramsterd.kept.layout import unpack_block
from ramsterd.kept.suspects import NO_SLOT, NOT_HERE

_NONE: Final = bytes([NO_SLOT]) * SLOTS_MAX


def read_blocks(words: memoryview) -> tuple[bytearray, bytearray]:
    """Return the class of each block, 0 for one that is none, and its family."""
    chunks, families = bytearray(len(words)), bytearray(len(words))
    for block, word in enumerate(words.tolist()):
        _, family, its_chunks = unpack_block(word)
        if block and 0 < its_chunks < CLASSES and family < len(Family):
            chunks[block], families[block] = its_chunks, family
    return chunks, families


def slots_of_blocks(families: bytearray, chunks: bytearray) -> bytes:
    """Return, by location, the family of the block if that has the slot, else NO_SLOT; location 0 is NOT_HERE."""
    slots: dict[tuple[int, int], bytes] = {}
    for kind in set(zip(families, chunks, strict=True)):
        count = SLOTS_OF_CLASS[kind[1]]
        slots[kind] = bytes([kind[0]]) * count + _NONE[count:]
    parts = [slots[kind] for kind in zip(families, chunks, strict=True)]
    parts[0] = bytes([NOT_HERE]) + _NONE[1:]
    return b"".join(parts)
