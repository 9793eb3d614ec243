"""Tar archives that are the same wherever and whenever they are made."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from packages.tree import below


def archive_of_tree(root: Path, epoch: int) -> bytes:
    """Return all that is below a root: of the superuser, in one order, at one time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in below(root):
            entry = tar.gettarinfo(path, str(path.relative_to(root)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = epoch
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)
    return buffer.getvalue()


def archive_of_files(files: Mapping[str, bytes], epoch: int) -> bytes:
    """Return files, by their paths."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(files[name]), epoch
            tar.addfile(entry, io.BytesIO(files[name]))
    return buffer.getvalue()
