"""What the machine is like: read from /proc and /sys, handed to rules as values."""

import grp
import os
import pwd
import re
import resource
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from config.endpoint import parse_host
from config.facts import UNPRIVILEGED_PORT, Machine, MemoryFolder, Place, PlaceType, User
from config.lookup import NameNotFound, look_up, socket_address
from config.machine import addresses_to_bind, files_to_read
from config.memory import MemoryBound
from config.model import DaemonConfig, NodeConfig
from config.mounts import file_system_at, limit_files, mount_points
from config.rules import socket_paths

ROOT: Final = Path("/")
# In the order of systemd.unit(5).
UNIT_FOLDERS: Final = (
    "etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
    "lib/systemd/system",
)  # fmt: skip
_OUR_UNIT: Final = re.compile(r"^ExecStart=.*\bramsterd\b", re.MULTILINE)
_MADE_FOLDERS: Final = re.compile(r"^(Runtime|State)Directory=(.*)$", re.MULTILINE)
_MADE_IN: Final = {"Runtime": Path("/run"), "State": Path("/var/lib")}
_TYPES: Final = {
    stat.S_IFDIR: PlaceType.FOLDER,
    stat.S_IFREG: PlaceType.FILE,
    stat.S_IFSOCK: PlaceType.SOCKET,
}
# More is no limit: what the kernel shows where none is set, or as good as that.
LIMIT_BYTES_MAX: Final = 1 << 60
_STAT_BLOCK_BYTES: Final = 512
# <linux/capability.h>
CAP_IPC_LOCK: Final = 14


def read_memory(root: Path = ROOT, process: str = "self") -> tuple[MemoryBound, ...]:
    """Return what bounds the memory of a process: the machine, its cgroup, and each one above it.

    Args:
        root: Where /proc and /sys are; a test has its own.
        process: Its number.
    """
    bounds = []
    if (machine := machine_memory(root)) is not None:
        bounds.append(machine)
    mountinfo = _read(root / "proc/self/mountinfo")
    for file in limit_files(mountinfo, _read(root / "proc" / process / "cgroup")):
        limit_bytes = read_limit(root / file.path.relative_to("/"))
        if limit_bytes is not None:
            bounds.append(
                MemoryBound(limit_bytes=limit_bytes, name=file.name, is_fatal=file.is_fatal)
            )
    return tuple(bounds)


def machine_memory(root: Path = ROOT) -> MemoryBound | None:
    """Return the memory of this machine; None if /proc does not tell."""
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
            return MemoryBound(limit_bytes=total, name="the memory of this machine")
    return None


def read_limit(path: Path) -> int | None:
    """Return the bytes in a file of a cgroup; None: no limit, or no such file."""
    text = _read(path).strip()
    if text.isascii() and text.isdigit() and int(text) < LIMIT_BYTES_MAX:
        return int(text)
    return None


def read_lock_limit(root: Path = ROOT) -> int | None:
    """Return how much memory this process may lock (RLIMIT_MEMLOCK), None without a limit.

    A process may raise its soft limit to the hard one by itself.

    Args:
        root: Where /proc is; a test has its own.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY or _has_capability(CAP_IPC_LOCK, root):
        return None
    return hard


def _has_capability(bit: int, root: Path) -> bool:
    for line in _read(root / "proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> bit & 1)
    return False


def survey(
    daemon: DaemonConfig, node: NodeConfig, *, file: str, user: User, root: Path = ROOT,
    find: Callable[[str], tuple[str, ...]] = look_up,
) -> Machine:  # fmt: skip
    """Look at everything that `config.machine` judges.  Binds each address for a moment, to a port that is free.

    Args:
        daemon: The file of a node.
        node: Its entry in the cluster file.
        file: The name of its own file.
        user: As whom the daemon runs.
        root: Where /proc, /sys and the folders of units are.
        find: Returns the addresses of a host name, or raises NameNotFound.
    """
    sockets = [path for _, path in socket_paths(daemon)]
    paths = [path for _, path in files_to_read(daemon, file)]
    paths += [*sockets, *(path.parent for path in sockets)]
    paths += [] if daemon.state_dir is None else [daemon.state_dir]
    keep = daemon.memory.keep
    paths += [keep] if isinstance(keep, Path) else []
    found, unknown = _find_all([host for _, host, _ in addresses_to_bind(daemon, node)], find)
    tried = {host: why_unbindable(*addresses) for host, addresses in found.items()}
    lowest = _read(root / "proc/sys/net/ipv4/ip_unprivileged_port_start").strip()
    return Machine(
        user=user,
        memory=read_memory(root),
        ways={path: way_to(path.absolute()) for path in paths},
        unbindable={host: reason for host, reason in tried.items() if reason},
        unknown_names=unknown,
        addresses_of_names={
            host: addresses
            for host, addresses in found.items()
            if isinstance(parse_host(host), str)
        },
        made_folders=frozenset(_made_folders(root)),
        lock_limit_bytes=read_lock_limit(root),
        memory_folder=_look_at_memory(keep, root) if isinstance(keep, Path) else None,
        mount_points=frozenset(mount_points(_read(root / "proc/self/mountinfo"))),
        unprivileged_port=int(lowest) if lowest.isdigit() else UNPRIVILEGED_PORT,
    )


# What the keeper of a folder makes last (ramsterd.kept.keepers.tmpfs_keeper).
FIRST_FILE: Final = "super.memory"


def _look_at_memory(folder: Path, root: Path) -> MemoryFolder:
    """Look at a folder that keeps memory, or at the one that it is to be made in."""
    there = Path(os.path.realpath(folder if os.path.exists(folder) else folder.parent))
    return MemoryFolder(
        file_system=file_system_at(_read(root / "proc/self/mountinfo"), there),
        is_link=folder.is_symlink(),
        free_bytes=_free_bytes(folder, there),
        has_memory=os.path.lexists(folder / FIRST_FILE),
    )


def _free_bytes(folder: Path, there: Path) -> int | None:
    try:
        found = os.statvfs(there)
        files = list(os.scandir(folder)) if os.path.exists(folder) else []
        ours = sum(file.stat(follow_symlinks=False).st_blocks for file in files)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize + ours * _STAT_BLOCK_BYTES


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at a path without links, be it a folder or a single file."""
    return path in mount_points(_read(ROOT / "proc/self/mountinfo"))


def way_to(path: Path) -> tuple[Place, ...]:
    """Return what is on the way from / to a path: folders as they are written and as links lead, then itself."""
    there = Path(os.path.realpath(path))
    folders = dict.fromkeys([*reversed(path.absolute().parents), *reversed(there.parents)])
    del folders[there.parent]
    way: list[Place] = []
    for each in (*folders, there.parent, there):
        way.append(_look(each))
        if way[-1].type in {PlaceType.MISSING, PlaceType.UNKNOWN}:
            break
    return tuple(way)


def _look(path: Path) -> Place:
    try:
        status = path.stat()
        is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return Place(path=path, type=PlaceType.MISSING)
    except OSError:
        return Place(path=path, type=PlaceType.UNKNOWN)
    return Place(
        path=path,
        type=_TYPES.get(stat.S_IFMT(status.st_mode), PlaceType.OTHER),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        owner=f"{user_of(status.st_uid).name}:{_group_name(status.st_gid)}",
        is_read_only=is_read_only,
    )


def _find_all(
    hosts: list[str], find: Callable[[str], tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the addresses of each host that has some, and why the others have none."""
    found: dict[str, tuple[str, ...]] = {}
    unknown: dict[str, str] = {}
    for host in hosts:
        try:
            found[host] = find(host) if isinstance(parse_host(host), str) else (host,)
        except NameNotFound as error:
            unknown[host] = error.reason
    return found, unknown


def why_unbindable(*addresses: str) -> str:
    """Return why a daemon can't listen at any of some addresses of ours, or an empty text."""
    reason = ""
    for address in addresses:
        try:
            family, where = socket_address(address, 0)
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind(where)
        except OSError as error:
            reason = reason or (error.strerror or str(error)).lower()
        else:
            return ""
    return reason


def find_user(name: str) -> User:
    """Return the user of a name or id.

    Raises:
        KeyError: This machine knows no such name.
    """
    return user_of(int(name) if name.isascii() and name.isdigit() else pwd.getpwnam(name).pw_uid)


def user_of(uid: int) -> User:
    """Return the user of an id; one without a name has no groups either."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(name=str(uid), uid=uid)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(name=entry.pw_name, uid=uid, groups=frozenset(groups))


def own_user() -> User:
    """Return as whom this process runs, with the groups it has."""
    uid = os.geteuid()
    groups = frozenset({os.getegid(), *os.getgroups()})
    return User(name=user_of(uid).name, uid=uid, groups=groups)


def owner_of(folder: Path) -> User:
    """Return the owner of a folder; ourselves if it can't be looked at."""
    try:
        return user_of(folder.stat().st_uid)
    except OSError:
        return own_user()


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _made_folders(root: Path) -> Iterator[Path]:
    """Yield the folders that units of ramsterd make."""
    # Mostly /lib is a link to /usr/lib.
    for folder in {(root / name).resolve() for name in UNIT_FOLDERS}:
        for text in filter(_OUR_UNIT.search, _unit_texts(folder)):
            for match in _MADE_FOLDERS.finditer(text):
                yield from (_MADE_IN[match[1]] / name for name in match[2].split())


def _unit_texts(folder: Path) -> Iterator[str]:
    """Yield each unit that may run ramsterd, with its drop-ins.

    There are hundreds of units, and a start waits for this: those of others are not even decoded.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries}
    except OSError:
        return
    for name, entry in found.items():
        if name.endswith(".service"):
            dropins = list(Path(f"{entry.path}.d").glob("*.conf")) if f"{name}.d" in found else []
            if dropins or _names_us(entry):
                files = [each for each in (Path(entry), *dropins) if each.is_file()]
                yield "\n".join(map(_read, files))


def _names_us(unit: os.DirEntry[str]) -> bool:
    try:
        if not unit.is_file():
            return False
        with open(unit, "rb", buffering=0) as file:
            return b"ramsterd" in file.read()
    except OSError:
        return False


def _read(path: Path) -> str:
    """Return a small file, or an empty text: what can't be read tells nothing."""
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
