"""An append-only log of records in kept memory, whose torn tail is cut.  Pure.

    length u32 | xxh3 u64 of epoch, length and record | record         and so on; length 0 ends the log

A record counts if it is whole.  What SIGKILL leaves is whole records, and perhaps a part of one:
nobody has acted on that yet.  A log is written anew into zeros, in another *epoch*, which is the
seed of the checksum: so no record of an earlier use of the same memory counts.
"""

import struct
from typing import Final

from ramsterd.core.codec import checksum_of

RECORD_BYTES_MAX: Final = 512
_FRAME: Final = struct.Struct("<IQ")
_LENGTH: Final = struct.Struct("<QI")


def _checksum(epoch: int, record: bytes | memoryview) -> int:
    return checksum_of(b"".join((_LENGTH.pack(epoch, len(record)), record)))


class RecordLog:
    """A log that is written."""

    def __init__(self, memory: memoryview, epoch: int, *, end: int = 0) -> None:
        """Go on behind the records that `read_records` found, or begin in zeros."""
        self._memory = memory
        self.epoch = epoch
        self.end = end
        # Of a record that was torn; another may be inside it, if the giver of a name wanted that.
        self._zero(end, end + _FRAME.size + RECORD_BYTES_MAX)

    def append(self, record: bytes) -> bool:
        """Add a record of 1 to `RECORD_BYTES_MAX` bytes; return False if there is no room."""
        assert 0 < len(record) <= RECORD_BYTES_MAX
        start = self.end + _FRAME.size
        end = start + len(record)
        if end > len(self._memory):
            return False
        self._memory[start:end] = record
        _FRAME.pack_into(self._memory, self.end, len(record), _checksum(self.epoch, record))
        self.end = end
        return True

    def _zero(self, start: int, end: int) -> None:
        end = min(end, len(self._memory))
        if any(self._memory[start:end]):
            self._memory[start:end] = bytes(end - start)


def read_records(memory: memoryview, epoch: int) -> tuple[list[bytes], int]:
    """Return the whole records from the start on, and where they end."""
    records: list[bytes] = []
    at = 0
    while (record := _record_at(memory, epoch, at)) is not None:
        records.append(record)
        at += _FRAME.size + len(record)
    return records, at


def is_damaged(memory: memoryview, epoch: int, end: int) -> bool:
    """Return whether a whole record stands behind the end of a log: that is no torn tail.

    Looked for are the next record, and any beyond what the one that was torn may reach: inside
    that, who gave it its name may have written what looks like a record.
    """
    beyond = end + _FRAME.size + RECORD_BYTES_MAX
    places = list(range(beyond, beyond + _FRAME.size + RECORD_BYTES_MAX))
    if end + _FRAME.size <= len(memory):
        length, _ = _FRAME.unpack_from(memory, end)
        places.append(end + _FRAME.size + length)
    return any(_record_at(memory, epoch, at) is not None for at in places)


def _record_at(memory: memoryview, epoch: int, at: int) -> bytes | None:
    """Return the whole record at a place; None: there is none."""
    if at + _FRAME.size > len(memory):
        return None
    length, checksum = _FRAME.unpack_from(memory, at)
    if not 0 < length <= RECORD_BYTES_MAX:
        return None
    start = at + _FRAME.size
    record = bytes(memory[start : start + length])
    is_whole = len(record) == length and checksum == _checksum(epoch, record)
    return record if is_whole else None
