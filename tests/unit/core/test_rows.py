from config.limits import COPIES_MAX
from ramsterd.core.arena import HeapMapping
from ramsterd.core.frames import TableMemory
from ramsterd.core.rows import FIRST_ROW, FRAME_ROWS, ROW, ROW_BYTES, Rows


def make_rows(count: int) -> Rows:
    return Rows(HeapMapping, TableMemory(1 << 20), FIRST_ROW + count)


def fill_row(rows: Rows, row: int, serial: int, *holders: int) -> None:
    three = [*holders, *[0] * (COPIES_MAX - len(holders))]
    ROW.pack_into(rows.view, row * ROW_BYTES, serial, 2, 3, 4, 5, *three)


def test_a_row_number_is_no_special_entry() -> None:
    rows = make_rows(3)
    assert [rows.alloc() for _ in range(3)] == [FIRST_ROW, FIRST_ROW + 1, FIRST_ROW + 2]


def test_there_is_a_last_row() -> None:
    rows = make_rows(2)
    first, _ = rows.alloc(), rows.alloc()
    assert rows.alloc() == 0
    rows.free(first)
    assert rows.alloc() == first
    assert rows.used == 2


def test_freed_rows_are_used_again_before_a_new_frame_is() -> None:
    rows = make_rows(1000)
    taken = [rows.alloc() for _ in range(FRAME_ROWS - FIRST_ROW)]
    for row in taken[:3]:
        fill_row(rows, row, 1)
        rows.free(row)
    assert {rows.alloc() for _ in range(3)} == set(taken[:3])
    assert rows.high == FRAME_ROWS
    assert rows.alloc() == FRAME_ROWS


def test_a_free_row_has_no_serial() -> None:
    rows = make_rows(1)
    row = rows.alloc()
    fill_row(rows, row, 7)
    assert rows.serial(row) == 7
    assert rows.location(row) == 4
    rows.free(row)
    assert rows.serial(row) == 0


def test_holders_close_up_when_one_is_removed() -> None:
    rows = make_rows(1)
    row = rows.alloc()
    fill_row(rows, row, 7, 10, 11, 12)
    rows.remove_holder(row, 10)
    assert rows.holders(row) == [11, 12]
    rows.remove_holder(row, 99)
    rows.remove_holder(row, 12)
    rows.remove_holder(row, 11)
    assert rows.holders(row) == []
