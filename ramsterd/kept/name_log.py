"""The log of names in its mapping: two halves, of which one is in use.  Pure.

A half that is full is left for the other, into which what is true is written anew.  The epoch says
which half it is, and stands in `super`: until it is turned to, the old half is whole.

Where others may fill what the mapping is in, both halves are reserved for ever: a record must find
room when it is noted, for there is nobody who could be refused.
"""

import errno
from collections.abc import Callable
from typing import Final

from config.limits import KEPT_NAMES_BYTES
from ramsterd.core.arena import Mapping
from ramsterd.kept.names import SNAPSHOT_BYTES_MAX, DamagedNames, Names
from ramsterd.kept.record_log import RECORD_BYTES_MAX, RecordLog, is_damaged, read_records

HALF_BYTES: Final = 4 * 1024 * 1024
NAMES_BYTES: Final = 2 * HALF_BYTES

# Written anew, a half has room for a while.
assert SNAPSHOT_BYTES_MAX + RECORD_BYTES_MAX <= HALF_BYTES
assert NAMES_BYTES == KEPT_NAMES_BYTES, "check-config knows what a folder must have room for"


class NameLog:
    """Notes what names mean."""

    def __init__(
        self,
        mapping: Mapping,
        epoch: int,
        *,
        turn_to: Callable[[int], None],
        half_bytes: int = HALF_BYTES,
    ) -> None:
        """Read what was noted; a mapping of zeros says nothing yet.

        Args:
            mapping: Two halves.
            epoch: As `super` says.
            turn_to: Writes another epoch into `super`.
            half_bytes: How long a half is.

        Raises:
            DamagedNames: The log contradicts itself.
            OSError: There is no room for it.
        """
        if mapping.needs_reserve and not mapping.reserve(0, 2 * half_bytes):
            raise OSError(errno.ENOSPC, "no room for the names of pools and holders")
        self.names = Names()
        self._mapping = mapping
        self._turn_to = turn_to
        self._half_bytes = half_bytes
        memory = self._half(epoch)
        records, end = read_records(memory, epoch)
        if is_damaged(memory, epoch, end):
            raise DamagedNames(f"record {len(records)} is damaged, and others follow it")
        for record in records:
            self.names.apply(record)
        self._log = RecordLog(memory, epoch, end=end)

    def note(self, record: bytes) -> None:
        """Note a record of ours; when this returns it outlives the process."""
        try:
            self.names.apply(record)
        except DamagedNames as error:
            raise AssertionError(f"a record of ours: {error}") from error
        if not self._log.append(record):
            self._write_anew()

    def _write_anew(self) -> None:
        before, epoch = self._log.epoch, self._log.epoch + 1
        self._clear(epoch)
        log = RecordLog(self._half(epoch), epoch)
        for record in self.names.records():
            has_room = log.append(record)
            assert has_room, "a half has room for all that is true"
        self._turn_to(epoch)
        self._log = log
        self._clear(before)

    def _half(self, epoch: int) -> memoryview:
        start = epoch % 2 * self._half_bytes
        return self._mapping.view[start : start + self._half_bytes]

    def _clear(self, epoch: int) -> None:
        """Make a half zeros."""
        if self._mapping.needs_reserve:
            self._half(epoch)[:] = bytes(self._half_bytes)
        else:
            self._mapping.release(epoch % 2 * self._half_bytes, self._half_bytes)
