"""A kept memory as a file: a zip of the frames that are not all zeros, and a manifest of what an attach must find.

The manifest names what is there in plain JSON, so that a release to come needs no code of this one to read it.
"""

import json
import mmap
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ramsterd.kept.keepers.keeper import make_memfd

IMAGES: Final = Path(__file__).parent / "images"
FRAME_BYTES: Final = mmap.PAGESIZE
_MANIFEST: Final = "manifest.json"
# The same image is the same file.
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def pack(path: Path, files: Mapping[str, int], manifest: Mapping[str, Any]) -> None:
    """Write an image of files that are open."""
    lengths = {name: os.fstat(fd).st_size for name, fd in files.items()}
    text = json.dumps({**manifest, "lengths": lengths}, indent=1, sort_keys=True)
    with zipfile.ZipFile(path, "w") as packed:
        _add(packed, _MANIFEST, text.encode())
        for name, fd in files.items():
            for start, frame in _frames(fd):
                _add(packed, f"{name}/{start:#x}", frame)


def _add(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    packed.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED, compresslevel=9)


def _frames(fd: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, os.fstat(fd).st_size, FRAME_BYTES):
        frame = os.pread(fd, FRAME_BYTES, start)
        if frame.strip(b"\0"):
            yield start, frame


def read_manifest(path: Path) -> Any:
    """Return what an image says of itself."""
    with zipfile.ZipFile(path) as packed:
        return json.loads(packed.read(_MANIFEST))


def unpack(path: Path, *, into: Path | None = None) -> dict[str, int]:
    """Return the files of an image by name, open: memfds, or files as a folder on a tmpfs keeps them."""
    files: dict[str, int] = {}
    with zipfile.ZipFile(path) as packed:
        for name, length in read_manifest(path)["lengths"].items():
            files[name] = make_memfd(name, length) if into is None else _make(into, name, length)
        for name, start, frame in _members(packed):
            os.pwrite(files[name], frame, start)
    return files


def _members(packed: zipfile.ZipFile) -> Iterable[tuple[str, int, bytes]]:
    for member in packed.namelist():
        if member != _MANIFEST:
            name, start = member.split("/")
            yield name, int(start, 0), packed.read(member)


def _make(folder: Path, name: str, length: int) -> int:
    fd = os.open(folder / f"{name}.memory", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(fd, length)
    return fd
