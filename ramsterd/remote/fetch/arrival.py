"""Arrival: what a row says of the version that was asked for, and of a zpage that came (core.install has the rest)."""

from ramsterd.core.codec import decode_same
from ramsterd.core.rows import Rows


def serial_elsewhere(rows: Rows, row: int) -> int:
    """Return the serial of a row that a peer holds too, else 0.

    A row that was freed may serve a foreign page with the same serial, which has no holder.
    """
    return rows.serial(row) if rows.first_holder(row) else 0


def verified(rows: Rows, row: int, code: int, zpage: memoryview) -> bytes | None:
    """Return the page if the zpage is what we once sent away."""
    return decode_same(rows.packed(row), code, zpage, rows.checksum(row))
