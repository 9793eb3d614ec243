"""The words of blocks, and what they say of each slot.  Pure."""

from array import array

from ramsterd.core.block_columns import unpack_block
from ramsterd.core.family import Family
from ramsterd.core.size_classes import CHUNK_BYTES, CLASSES, SLOTS_MAX, SLOTS_OF_CLASS
from ramsterd.kept.suspects import NO_SLOT


class Blocks:
    """Columns by block, and by location."""

    def __init__(self, words: memoryview) -> None:
        """Read the word of each block that was ever used, block 0 too."""
        # Class, 0 for a block that is none, and family.
        self.chunks = bytearray(len(words))
        self.families = bytearray(len(words))
        for block, word in enumerate(words.tolist()):
            _, family, chunks = unpack_block(word)
            if block and 0 < chunks < CLASSES and family < len(Family):
                self.chunks[block], self.families[block] = chunks, family
        # The family of the block, or NO_SLOT if that has not so many slots; and how long the slot
        # is.
        self.family_of_slot = bytearray()
        self.bytes_of_slot = array("H")
        made = {kind: _slots(*kind) for kind in set(zip(self.families, self.chunks, strict=True))}
        for kind in zip(self.families, self.chunks, strict=True):
            families, lengths = made[kind]
            self.family_of_slot += families
            self.bytes_of_slot += lengths

    def slot(self, location: int, zbytes: int) -> int:
        """Return the family of the block that has a slot for so many bytes at a location, or NO_SLOT."""
        is_slot = location < len(self.family_of_slot) and 0 < zbytes <= self.bytes_of_slot[location]
        return self.family_of_slot[location] if is_slot else NO_SLOT


def _slots(family: int, chunks: int) -> "tuple[bytes, array[int]]":
    slots = SLOTS_OF_CLASS[chunks]
    families = bytes([family]) * slots + bytes([NO_SLOT]) * (SLOTS_MAX - slots)
    return families, array("H", [chunks * CHUNK_BYTES] * slots + [0] * (SLOTS_MAX - slots))
