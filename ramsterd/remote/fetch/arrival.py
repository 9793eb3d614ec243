"""Arrival: what to do with a zpage that was fetched.

Between the request and the answer, the page may have been flushed or put again.
So an answer is judged by the serial that the row has now.
Nothing that a peer says is trusted: length and checksum are those of our own row.
"""

import enum

from ramsterd.core.codec import decode_page
from ramsterd.core.page import CorruptPage
from ramsterd.core.rows import Rows


class Arrival(enum.Enum):
    """What to do with a zpage that was fetched."""

    INSTALL = "install"
    FLUSHED_MEANWHILE = "flushed meanwhile"
    PUT_MEANWHILE = "put meanwhile"


def judge_arrival(serial_now: int, serial_asked: int) -> Arrival:
    """Judge by the serial that the row has now (0: it is not our page's any more)."""
    if serial_now == serial_asked:
        return Arrival.INSTALL
    return Arrival.PUT_MEANWHILE if serial_now else Arrival.FLUSHED_MEANWHILE


def serial_elsewhere(rows: Rows, row: int) -> int:
    """Return the serial of a row that a peer holds too, else 0.

    A row that was freed may serve a foreign page with the same serial, which has no holder.
    """
    return rows.serial(row) if rows.first_holder(row) else 0


def verified(rows: Rows, row: int, code: int, zpage: memoryview) -> bytes | None:
    """Return the page if the zpage is what we once sent away."""
    if code != rows.packed(row):
        return None
    try:
        return decode_page(code, zpage, rows.checksum(row))
    except CorruptPage:
        return None
