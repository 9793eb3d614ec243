"""Read the cgroups of the daemon, and those beside them: what protects, bounds and surrounds it.  A shell."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from config.host import machine_memory, read_limit, read_memory
from config.memory import MemoryBound
from config.mounts import GroupFolder, group_folders
from ramsterd.doctor import units
from ramsterd.doctor.facts import Groups, Level, Neighbour
from ramsterd.doctor.files import below, names_in, read_text

# `max` in a file of the kernel, as a number that is more than any memory.
_EVERYTHING = 1 << 62


def read_groups(root: Path, pid: str) -> Groups:
    """Return where a process is among the cgroups."""
    folders = _folders(root, pid)
    version = 0
    if folders:
        version = 2 if all(folder.is_version_2 for folder in folders) else 1
    return _groups(root, version, _levels(root, folders), read_memory(root, pid))


def _folders(root: Path, pid: str) -> list[GroupFolder]:
    mountinfo = read_text(root / "proc/self/mountinfo")
    return list(group_folders(mountinfo, read_text(root / "proc" / pid / "cgroup")))


def _levels(root: Path, folders: Iterable[GroupFolder]) -> tuple[Level, ...]:
    """Return the cgroups that can protect memory: the root of all can't."""
    return tuple(
        Level(
            name=str(folder.name),
            folder=str(folder.path),
            protected_bytes=_protected(below(root, str(folder.path)) / "memory.min"),
            swap_bytes_max=read_limit(below(root, str(folder.path)) / "memory.swap.max"),
        )
        for folder in folders
        if (below(root, str(folder.path)) / "memory.min").exists()
    )


def _groups(
    root: Path, version: int, levels: tuple[Level, ...], bounds: Iterable[MemoryBound]
) -> Groups:
    return Groups(
        version=version,
        levels=levels,
        neighbours=tuple(each for level in levels for each in _neighbours(root, level)),
        # The name of the one that is mounted at the top is "/".
        sees_all=not levels or levels[-1].name != "/",
        bounds=tuple(bounds),
    )


def _protected(path: Path) -> int:
    """Return memory.min; `max` is everything."""
    text = read_text(path).strip()
    if text == "max":
        return _EVERYTHING
    return int(text) if text.isdigit() else 0


def _neighbours(root: Path, level: Level) -> Iterator[Neighbour]:
    """Yield the cgroups beside one of ours."""
    if level.name == "/":
        return
    parent = below(root, level.folder).parent
    above = level.name.rpartition("/")[0]
    for name in names_in(parent):
        folder = parent / name
        used = read_text(folder / "memory.current").strip()
        if name == level.unit or not used.isdigit():
            continue
        limits = [read_limit(folder / file) for file in ("memory.max", "memory.high")]
        known = [limit for limit in limits if limit is not None]
        yield Neighbour(
            name=f"{above}/{name}",
            folder=str(Path(level.folder).parent / name),
            used_bytes=int(used),
            bytes_max=min(known, default=None),
        )


def groups_of_unit(root: Path, shown: list[dict[str, str]]) -> Groups:
    """Return where a unit that does not run will be."""
    machine = machine_memory(root)
    bounds = [*([] if machine is None else [machine]), *units.bounds_of(shown)]
    folders = _folders(root, "self")
    if not folders or not all(folder.is_version_2 for folder in folders):
        return _groups(root, 1 if folders else 0, (), bounds)
    # The last of our own cgroups is the root of the tree.
    return _groups(root, 2, units.levels_of(shown, str(folders[-1].path)), bounds)
