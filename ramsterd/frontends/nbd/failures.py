"""Failed requests: the error that a client gets, and the requests that are refused before any page is touched.

Pure.  The errors are those of the specification, "Error values"; a reason is for people, where the
client takes it.
"""

from typing import Final, NamedTuple

from ramsterd.frontends.nbd.protocol import PAYLOAD_BYTES_MAX, Command, CommandFlag, Errno
from ramsterd.frontends.pager import GetOutcome, PutOutcome


class Failure(NamedTuple):
    """An error reply: its number, and a reason for people where the client can take one."""

    errno: Errno
    reason: str


_FAILURES: Final[dict[PutOutcome | GetOutcome, Failure | None]] = {
    PutOutcome.STORED: None,
    PutOutcome.REFUSED: Failure(Errno.ENOSPC, "no room here or at any peer"),
    GetOutcome.LOST: Failure(Errno.EIO, "the last copy of a page is gone"),
    GetOutcome.UNREACHABLE: Failure(Errno.EIO, "the holder of a page did not answer in time"),
}
assert set(_FAILURES) == {*PutOutcome, *GetOutcome}

NOT_REPLICATED: Final = Failure(Errno.EIO, "pages are not at the peers that they should be at")
NOT_MARKED: Final = Failure(Errno.EIO, "the state file can't be written: see the log of ramsterd")
READ_ONLY: Final = Failure(Errno.EPERM, "the export is read-only")
UNKNOWN_COMMAND: Final = Failure(Errno.EINVAL, "unknown command")
UNKNOWN_FLAG: Final = Failure(Errno.EINVAL, "a flag that the command does not have")
NO_LENGTH: Final = Failure(Errno.EINVAL, "a length of 0")
NOT_ZERO: Final = Failure(Errno.EINVAL, "FLUSH has no offset or length")
TOO_LONG: Final = Failure(Errno.EINVAL, "longer than the maximum block size")
BEYOND_END: Final = Failure(Errno.EINVAL, "beyond the end of the export")
NO_SPACE: Final = Failure(Errno.ENOSPC, "beyond the end of the export")
NOT_FAST: Final = Failure(Errno.ENOTSUP, "no whole page in it: not faster than a write")

# FUA is valid everywhere once it was offered, also where it means nothing.  Plain numbers: the
# complement of an IntFlag has only the bits that have names.
_FLAGS_ALLOWED: Final[dict[int, int]] = {
    Command.READ: int(CommandFlag.FUA | CommandFlag.DF),
    Command.WRITE: int(CommandFlag.FUA),
    Command.FLUSH: int(CommandFlag.FUA),
    Command.TRIM: int(CommandFlag.FUA),
    Command.CACHE: int(CommandFlag.FUA),
    Command.WRITE_ZEROES: int(CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
    Command.BLOCK_STATUS: int(CommandFlag.FUA | CommandFlag.REQ_ONE),
}
_CHANGING: Final = {Command.WRITE, Command.TRIM, Command.WRITE_ZEROES}
_LIMITED: Final = {Command.READ, Command.WRITE, Command.CACHE}
_NO_SPACE_BEYOND_END: Final = {Command.WRITE, Command.WRITE_ZEROES}


def failure_of(outcome: PutOutcome | GetOutcome) -> Failure | None:
    """Return what a client is told about an outcome of the pager; None is success."""
    return _FAILURES[outcome]


def judge_request(command: int, flags: int, *, is_read_only: bool) -> Failure | None:
    """Return why a request fails whatever its range, or None."""
    allowed = _FLAGS_ALLOWED.get(command)
    if allowed is None:
        return UNKNOWN_COMMAND
    if flags & ~allowed:
        return UNKNOWN_FLAG
    return READ_ONLY if is_read_only and command in _CHANGING else None


def judge_range(command: int, offset: int, length: int, *, size: int) -> Failure | None:
    """Return why a request on this range of a disk of `size` bytes fails, or None."""
    if command == Command.FLUSH:
        return NOT_ZERO if offset or length else None
    if length == 0:
        return NO_LENGTH
    if length > PAYLOAD_BYTES_MAX and command in _LIMITED:
        return TOO_LONG
    if offset + length > size:
        return NO_SPACE if command in _NO_SPACE_BEYOND_END else BEYOND_END
    return None
