"""Real files as one tar archive that is never whole in memory.

The plan is made first: which files, and how long each is.  A file that changes afterwards is cut or
filled with zeros, as tar(1) does, so the archive has the planned length every time it is streamed.
"""

import os
import stat
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.limits import PAGE_BYTES

PIECE_BYTES: Final = 128 * 1024
_END_BYTES: Final = 2 * tarfile.BLOCKSIZE
# An archive that lacks no more than this is full: going on looking for small files would take long.
_FULL_WITHIN_BYTES: Final = 128 * 1024

assert PIECE_BYTES % PAGE_BYTES == 0
assert PAGE_BYTES % tarfile.BLOCKSIZE == 0


class TreeTooSmall(Exception):
    """There is not enough under the given folders for a demo; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive."""

    path: Path
    header: bytes
    file_bytes: int

    @property
    def archive_bytes(self) -> int:
        """Bytes that it takes in the archive."""
        return len(self.header) + _rounded_up(self.file_bytes, tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Archive:
    """Files in the order of the archive, and the folders they were found under."""

    members: tuple[Member, ...]
    folders: tuple[Path, ...]

    @property
    def archive_bytes(self) -> int:
        """The length of the whole archive, a multiple of the page."""
        members_bytes = sum(member.archive_bytes for member in self.members)
        return _rounded_up(members_bytes + _END_BYTES, PAGE_BYTES)

    def pieces(self) -> Iterator[bytes]:
        """Yield the archive in pieces of PIECE_BYTES; the last may be shorter."""
        waiting = bytearray()
        for part in self._parts():
            waiting += part
            while len(waiting) >= PIECE_BYTES:
                yield bytes(waiting[:PIECE_BYTES])
                del waiting[:PIECE_BYTES]
        if waiting:
            yield bytes(waiting)

    def _parts(self) -> Iterator[bytes]:
        members_bytes = 0
        for member in self.members:
            yield member.header
            yield from _contents(member)
            members_bytes += member.archive_bytes
        yield bytes(self.archive_bytes - members_bytes)


def _contents(member: Member) -> Iterator[bytes]:
    left_bytes = member.file_bytes
    try:
        with member.path.open("rb", buffering=0) as file:
            while left_bytes and (part := file.read(min(left_bytes, PIECE_BYTES))):
                left_bytes -= len(part)
                yield part
    except OSError:
        pass  # gone since the plan was made
    filler_bytes = left_bytes + -member.file_bytes % tarfile.BLOCKSIZE
    while filler_bytes:
        count = min(filler_bytes, PIECE_BYTES)
        filler_bytes -= count
        yield bytes(count)


def plan_archive(folders: Iterable[Path], *, bytes_min: int, bytes_max: int) -> Archive:
    """Return an archive of the files under `folders`, a folder only if those before it were not enough.

    Raises:
        TreeTooSmall: All files together make less than `bytes_min`.
    """
    members: list[Member] = []
    used: list[Path] = []
    wanted: list[Path] = []
    archive_bytes = _END_BYTES
    for folder in folders:
        wanted.append(folder)
        if archive_bytes >= bytes_min:
            break
        for member in _members_under(folder, used):
            if archive_bytes > bytes_max - _FULL_WITHIN_BYTES:
                break
            if _rounded_up(archive_bytes + member.archive_bytes, PAGE_BYTES) <= bytes_max:
                members.append(member)
                archive_bytes += member.archive_bytes
        used.append(folder)
    archive = Archive(tuple(members), tuple(used))
    if archive.archive_bytes < bytes_min:
        raise TreeTooSmall(
            f"found {len(members)} files, {archive.archive_bytes / 2**20:.1f} MiB as an archive, under "
            f"{', '.join(str(folder) for folder in wanted)}; "
            f"expected at least {bytes_min / 2**20:g} MiB"
        )
    return archive


def checked_folder(folder: Path) -> Path:
    """Return the folder's real path.

    Raises:
        TreeTooSmall: There is no such folder.
    """
    if not folder.is_dir():
        raise TreeTooSmall(f"found no folder {folder}; expected one with files")
    return folder.resolve()


def python_folders() -> list[Path]:
    """Return where Python's own library, installed packages and, for want of enough, its neighbours are."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")]
    # Debian splits its Python; a slim one is small even so.
    paths += [
        f"{sys.base_prefix}/lib/python3",
        f"{sys.base_prefix}/lib",
        f"{sys.base_prefix}/share",
    ]
    folders = dict.fromkeys(Path(path).resolve() for path in paths)
    return [folder for folder in folders if folder.is_dir()]


def _members_under(folder: Path, seen: list[Path]) -> Iterator[Member]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if Path(parent, each) not in seen)
        for name in sorted(names):
            member = _member(Path(parent, name))
            if member is not None:
                yield member


def _member(path: Path) -> Member | None:
    """Return a regular file that we may read, or None."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.R_OK):
        return None
    info = tarfile.TarInfo(str(path).lstrip("/"))
    info.size = found.st_size
    info.mode = stat.S_IMODE(found.st_mode)
    info.mtime = int(found.st_mtime)
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return Member(path, header, found.st_size)


def _rounded_up(count: int, step: int) -> int:
    return -(-count // step) * step
