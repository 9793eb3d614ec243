"""Files below a folder that becomes the root of a machine: written with the modes and the time that they will have."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o644
PROGRAM_MODE: Final = 0o755
FOLDER_MODE: Final = PROGRAM_MODE
_EXECUTABLE: Final = 0o111


def write(path: Path, content: str | bytes, *, mode: int = FILE_MODE) -> None:
    """Write a file, and make the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def compress(content: str | bytes) -> bytes:
    """Return what gzip(1) makes of it, without a name and a time."""
    data = content.encode() if isinstance(content, str) else content
    return gzip.compress(data, compresslevel=9, mtime=0)


def below(root: Path) -> Iterator[Path]:
    """Yield all that is below a folder, in one order on every machine; no link is followed."""
    yield from sorted(root.rglob("*"))


def settle(root: Path, epoch: int) -> None:
    """Give everything the modes of the system's files, and a time that is not later than `epoch`.

    So the umask of whoever builds, and the files of a library, make no difference.
    """
    for path in (*below(root), root):
        status = path.lstat()
        if not path.is_symlink():
            is_program = path.is_dir() or status.st_mode & _EXECUTABLE
            path.chmod(PROGRAM_MODE if is_program else FILE_MODE)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
