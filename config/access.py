"""Who may read a file or change a folder, by mode, owner and groups, each folder on the way included.  Pure.

So root can judge it for another user, without becoming that user.  Access control lists and
capabilities are not looked at: an operator who uses them knows better than these rules, and may
name another user.
"""

from collections.abc import Sequence
from typing import Final

from config.facts import Place, PlaceType, User

READ: Final = 4
WRITE: Final = 2
ENTER: Final = 1
ROOT: Final = 0
_WORDS: Final = {
    READ: "read",
    WRITE: "write",
    ENTER: "enter",
    WRITE | ENTER: "write to",
    READ | WRITE | ENTER: "use",
}


def may(user: User, place: Place, want: int) -> bool:
    """Whether the kernel would let a user do this (bits of READ, WRITE, ENTER) at one place."""
    if place.is_read_only and want & WRITE:
        return False
    if user.uid == ROOT:
        return True
    # The first class that fits decides, also where the next one would allow more.
    if user.uid == place.uid:
        bits = place.mode >> 6
    elif place.gid in user.groups:
        bits = place.mode >> 3
    else:
        bits = place.mode
    return bits & want == want


def why_not(user: User, way: Sequence[Place], want: int) -> str | None:
    """Return what keeps a user from a place, as a sentence has it after "found".

    None: nothing that is known.

    Args:
        user: Who.
        way: From / down to the place itself.
        want: What for.
    """
    for place, wanted in [*((folder, ENTER) for folder in way[:-1]), (way[-1], want)]:
        if place.type in {PlaceType.MISSING, PlaceType.UNKNOWN}:
            return None
        if not may(user, place, wanted):
            noun = "folder " if place.type is PlaceType.FOLDER else ""
            reason = (
                "read-only file system"
                if place.is_read_only and wanted & WRITE
                else f"{place.owner}, mode {place.mode:04o}"
            )
            return f"{noun}{place.path} ({reason}), which user {user.name} can't {_WORDS[wanted]}"
    return None
