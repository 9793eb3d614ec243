"""What an attach does again of an overwrite that was under way."""

import pytest

from ramsterd.core.arena import HeapMapping
from ramsterd.core.block_columns import pack_block
from ramsterd.core.codec import PACKED_FILL
from ramsterd.core.family import Family
from ramsterd.core.redo import (
    REDO_BYTES,
    REDO_COMMIT,
    REDO_ROW,
    REDO_ZBYTES,
    REDO_ZPAGE,
    Redo,
    replay,
)
from ramsterd.core.rows import ROW, ROW_BYTES
from ramsterd.core.size_classes import BLOCK_SHIFT, CHUNK_BYTES, SLOT_SHIFT, SLOTS_OF_CLASS
from tests.helpers.kept_memory import ScarceMemory

ROW_NUMBER = 7
BLOCK = 2
CHUNKS = 24
ZPAGE = b"zpage" * 30


class Kept:
    """Some rows and blocks, and what was written down."""

    def __init__(self) -> None:
        self.redo = memoryview(bytearray(REDO_BYTES))
        self.rows = memoryview(bytearray(b"r" * ROW_BYTES * 16))
        self.arena = HeapMapping("arena", 4 << BLOCK_SHIFT).view
        words = [
            0,
            0,
            pack_block(1, Family.OWN_PERSISTENT, CHUNKS),
            pack_block(2, Family.OWN_CLEAN, 65),
        ]
        self.blocks = memoryview(bytearray(8 * len(words))).cast("Q")
        for block, word in enumerate(words):
            self.blocks[block] = word

    def write_down(
        self,
        *,
        row: int = ROW_NUMBER,
        location: int = BLOCK << SLOT_SHIFT | 1,
        packed: int = len(ZPAGE),
        zbytes: int = len(ZPAGE),
    ) -> None:
        ROW.pack_into(self.redo, REDO_ROW, 5, 6, 4000, location, packed, 0, 0, 0)
        self.redo[REDO_ZPAGE : REDO_ZPAGE + len(ZPAGE)] = ZPAGE
        words = self.redo.cast("Q")
        words[REDO_ZBYTES], words[REDO_COMMIT] = zbytes, row

    def replay(self) -> int:
        return replay(self.redo, self.rows, self.arena, self.blocks)

    @property
    def row(self) -> bytes:
        return bytes(self.rows[ROW_NUMBER * ROW_BYTES : (ROW_NUMBER + 1) * ROW_BYTES])

    @property
    def zpage(self) -> bytes:
        start = (BLOCK << BLOCK_SHIFT) + CHUNKS * CHUNK_BYTES
        return bytes(self.arena[start : start + len(ZPAGE)])

    def is_untouched(self) -> bool:
        return not any(self.arena) and bytes(self.rows) == b"r" * len(self.rows)


def test_nothing_is_done_again_if_nothing_was_under_way() -> None:
    kept = Kept()
    kept.write_down(row=0)
    assert kept.replay() == 0
    assert kept.is_untouched()


def test_row_and_zpage_are_as_they_were_written_down_however_far_it_was() -> None:
    for done in range(len(ZPAGE) + ROW_BYTES):
        kept = Kept()
        kept.write_down()
        start = (BLOCK << BLOCK_SHIFT) + CHUNKS * CHUNK_BYTES
        kept.arena[start : start + len(ZPAGE)] = b"o" * len(ZPAGE)
        torn = min(done, len(ZPAGE))
        kept.arena[start : start + torn] = ZPAGE[:torn]
        torn = done - torn
        new = kept.redo[REDO_ROW : REDO_ROW + torn]
        kept.rows[ROW_NUMBER * ROW_BYTES : ROW_NUMBER * ROW_BYTES + torn] = new
        for _ in range(2):
            commit = kept.redo.cast("Q")[REDO_COMMIT]
            assert kept.replay() == ROW_NUMBER
            assert (kept.zpage, kept.row) == (ZPAGE, bytes(kept.redo[REDO_ROW:REDO_ZPAGE]))
            # The next process may end before it has forgotten the record.
            kept.redo.cast("Q")[REDO_COMMIT] = commit
        assert kept.replay() == ROW_NUMBER
        assert kept.replay() == 0


def test_a_zpage_that_is_where_it_belongs_is_left_alone() -> None:
    kept = Kept()
    kept.write_down(zbytes=0)
    assert kept.replay() == ROW_NUMBER
    assert not any(kept.arena)
    assert kept.row == bytes(kept.redo[REDO_ROW:REDO_ZPAGE])


def test_a_page_whose_words_are_equal_is_a_row_alone() -> None:
    kept = Kept()
    kept.write_down(location=0, packed=PACKED_FILL, zbytes=0)
    assert kept.replay() == ROW_NUMBER


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": 2},
        {"row": 16},
        {"row": (1 << 64) - 1},
        {"zbytes": len(ZPAGE) - 1},
        {"location": 0},
        {"location": 1 << SLOT_SHIFT},
        {"location": 3 << SLOT_SHIFT},
        {"location": 4 << SLOT_SHIFT},
        {"location": BLOCK << SLOT_SHIFT | SLOTS_OF_CLASS[CHUNKS]},
        {"packed": CHUNKS * CHUNK_BYTES + 1, "zbytes": CHUNKS * CHUNK_BYTES + 1},
    ],
    ids=str,
)
def test_a_record_that_cant_be_true_is_left_out(wrong: dict[str, int]) -> None:
    kept = Kept()
    kept.write_down(**wrong)
    assert kept.replay() == 0
    assert kept.is_untouched()
    assert kept.redo.cast("Q")[REDO_COMMIT] == 0


def test_without_room_for_the_record_there_is_no_store() -> None:
    with pytest.raises(OSError, match="no room"):
        Redo(ScarceMemory(frames_free=1))
