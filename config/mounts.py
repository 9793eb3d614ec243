"""What is mounted where, and so in which files the limits of our cgroup and of all above it stand.

Pure: from the text of two files in /proc/self.

Version 2 has one tree, version 1 one for each controller; a machine may have both.  A container
often sees only a part of the tree (`mountinfo` says which part is mounted), and in a cgroup
namespace paths start at the part it may know.  What lies above what is mounted can't be read, so it
can't be judged either.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Final

# File of a cgroup, and whether the kernel ends a process of it for using more.
V2_FILES: Final = (("memory.max", True), ("memory.high", False))
V1_FILES: Final = (("memory.limit_in_bytes", True),)
# mountinfo writes blanks and the like as \040 (proc_pid_mountinfo(5)).
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
# Before the dash: id, parent, device, root, mount point; after it: type, source, options of the
# file system.
_FIELDS_MIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFile:
    """One file that may hold a limit for us."""

    path: PurePosixPath
    name: str
    is_fatal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFolder:
    """One cgroup: ours, or one above it."""

    path: PurePosixPath
    name: PurePosixPath
    # Of the one tree of version 2, or of that of version 1 for memory.
    is_version_2: bool


def group_folders(mountinfo: str, cgroups: str) -> Iterator[GroupFolder]:
    """Yield the cgroups that bound the memory of a process, from its own up to the highest that is mounted.

    Args:
        mountinfo: The text of /proc/self/mountinfo.
        cgroups: The text of its /proc/PID/cgroup.
    """
    ours = dict(_ours(cgroups))
    for version, root, mount_point in _mounts(mountinfo):
        if (path := ours.get(version)) is None:
            continue
        below = _below(path, root)
        for folder in (below, *below.parents):
            yield GroupFolder(
                path=mount_point / folder.relative_to("/"),
                name=folder,
                is_version_2=version == "",
            )


def limit_files(mountinfo: str, cgroups: str) -> Iterator[LimitFile]:
    """Yield the files with limits, of each cgroup from ours up to the highest that is mounted.

    Args:
        mountinfo: The text of /proc/self/mountinfo.
        cgroups: The text of /proc/PID/cgroup.
    """
    for folder in group_folders(mountinfo, cgroups):
        for file, is_fatal in V2_FILES if folder.is_version_2 else V1_FILES:
            yield LimitFile(
                path=folder.path / file,
                name=f"{file} of cgroup {folder.name}",
                is_fatal=is_fatal,
            )


def _ours(cgroups: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield our path in the tree of version 2 (under the empty text) and in that of the memory controller."""
    for line in cgroups.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and (not controllers or "memory" in controllers.split(",")):
            yield "memory" if controllers else "", PurePosixPath(path)


def _mounts(mountinfo: str) -> Iterator[tuple[str, PurePosixPath, PurePosixPath]]:
    """Yield tree, root and mount point of each mount of a tree that may bound memory."""
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not dash or len(fields) < _FIELDS_MIN:
            continue
        root, mount_point = (PurePosixPath(_unescaped(each)) for each in fields[3:5])
        if kind[0] == "cgroup2":
            yield "", root, mount_point
        elif kind[0] == "cgroup" and "memory" in kind[-1].split(","):
            yield "memory", root, mount_point


def mount_points(mountinfo: str) -> Iterator[Path]:
    """Yield where something is mounted: a folder, or a single file."""
    for line in mountinfo.splitlines():
        fields = line.partition(" - ")[0].split(" ")
        if len(fields) >= _FIELDS_MIN:
            yield Path(_unescaped(fields[4]))


def file_system_at(mountinfo: str, path: Path) -> str:
    """Return the type of the file system that a path without links is on.

    Empty: it is on none that is known.
    """
    found: tuple[int, str] = -1, ""
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < _FIELDS_MIN:
            continue
        mount_point = Path(_unescaped(fields[4]))
        if mount_point in (path, *path.parents):
            # Of two at one place the later one is seen.
            found = max((len(mount_point.parts), after.split(" ")[0]), found, key=itemgetter(0))
    return found[1]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _below(path: PurePosixPath, root: PurePosixPath) -> PurePosixPath:
    """Return our path as it is below the mount point, or / if that has only a part of the tree without us."""
    if ".." in path.parts:
        return PurePosixPath("/")
    if path.is_relative_to(root):
        return "/" / path.relative_to(root)
    return PurePosixPath("/")
