"""Whether a folder can keep the memory of a daemon ([memory] keep): pure rules over `config.facts`.

A start finds out by using it, and says the same; this is for `check-config`, before.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.access import ENTER, READ, WRITE, why_not
from config.facts import Machine, MemoryFolder, Place, PlaceType
from config.findings import Finding
from config.model import DaemonConfig
from config.units import human_bytes

_KEY: Final = "memory.keep"
_NOT_OTHERS: Final = 0o077
_RUN: Final = Path("/run")


def judge_memory_folder(daemon: DaemonConfig, machine: Machine, file: str) -> Iterator[Finding]:
    """Yield the first thing that is wrong with it, and a warning of what may empty it."""
    folder, found = daemon.memory.keep, machine.memory_folder
    if not isinstance(folder, Path) or found is None:
        return
    wrong = _wrong_place(folder, machine) or _no_tmpfs(folder, found)
    no_room = _no_room(daemon, folder, found)
    if wrong is not None:
        yield Finding(file=file, key=_KEY, found=wrong[0], expected=wrong[1], is_error=True)
    elif no_room is not None:
        # Pages that are there are taken up, though others have filled it since.
        is_error = not found.has_memory
        yield Finding(file=file, key=_KEY, found=no_room[0], expected=no_room[1], is_error=is_error)
    elif _RUN in folder.parents and any(
        made in (folder, *folder.parents) for made in machine.made_folders
    ):
        yield Finding(
            file=file,
            key=_KEY,
            found=f"{folder}, in a folder that systemd removes when the unit stops (RuntimeDirectory=)",
            expected="a folder that stays, or RuntimeDirectoryPreserve=yes in the unit",
        )


def _wrong_place(folder: Path, machine: Machine) -> tuple[str, str] | None:
    """Return what is there and what should be, if the daemon can neither use the folder nor make it."""
    user, way = machine.user, machine.ways[folder]
    make = f"make it, as in `install -d -o {user.name} -m 700 {folder}`"
    expected = f"a folder for user {user.name} alone: {make}"
    if machine.memory_folder is not None and machine.memory_folder.is_link:
        return f"{folder}, which is a link", "the folder itself"
    last = way[-1]
    if last.type is PlaceType.MISSING:
        if last.path != folder:
            return f"no folder {last.path}", expected
        reason = why_not(user, way[:-1], WRITE | ENTER)
    else:
        reason = _not_ours(last, user.uid) or why_not(user, way, READ | WRITE | ENTER)
    return None if reason is None else (reason, expected)


def _not_ours(place: Place, uid: int) -> str | None:
    if place.type is PlaceType.UNKNOWN:
        return None
    if place.type is not PlaceType.FOLDER:
        return f"{place.path}, which is no folder"
    if place.uid != uid or place.mode & _NOT_OTHERS:
        return f"folder {place.path} ({place.owner}, mode {place.mode:04o})"
    return None


def _no_tmpfs(folder: Path, found: MemoryFolder) -> tuple[str, str] | None:
    if found.file_system != "tmpfs":
        return (
            f"{folder} on {found.file_system or 'an unknown file system'}",
            "a folder on a tmpfs: elsewhere pages are written to a disk",
        )
    return None


def _no_room(daemon: DaemonConfig, folder: Path, found: MemoryFolder) -> tuple[str, str] | None:
    wanted = daemon.memory.kept_bytes_max()
    if found.free_bytes is not None and found.free_bytes < wanted:
        return (
            f"{folder} with room for {human_bytes(found.free_bytes)}",
            f"room for {human_bytes(wanted)}, which budget and tables may take: mount a tmpfs with a larger size=",
        )
    return None
