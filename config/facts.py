"""What one machine is like, as values: read by `config.host`, judged by `config.machine` and `config.access`."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.memory import MemoryBound

# Below it only root may listen (ip_unprivileged_port_start).
UNPRIVILEGED_PORT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whom the kernel would ask for rights, root or somebody else."""

    name: str
    uid: int
    groups: frozenset[int] = frozenset()


class PlaceType(enum.Enum):
    """What is at a path."""

    FOLDER = "a folder"
    FILE = "a file"
    SOCKET = "a socket"
    OTHER = "something else"
    MISSING = "nothing"
    # This user may not look there.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One path, and who may do what there."""

    path: Path
    type: PlaceType
    mode: int = 0
    uid: int = 0
    gid: int = 0
    # As `ls` shows it: "root:ramster".
    owner: str = ""
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFolder:
    """The folder of `memory.keep`; as long as it is not made, the one that it is to be made in."""

    # As /proc/self/mountinfo names it.
    file_system: str
    is_link: bool = False
    # For files of ours, those that are there included; None: this user may not look.
    free_bytes: int | None = None
    # Whether a daemon has left its memory there: room is wanted for no page that is there.
    has_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything of a machine that the rules about one node's files ask for."""

    user: User
    memory: tuple[MemoryBound, ...] = ()
    # From / down to a path itself, links followed; the last is the first that is missing or
    # unknown.
    ways: Mapping[Path, tuple[Place, ...]] = field(default_factory=dict)
    # Why an address, or any of a host name, can't be bound, for those that can't.
    unbindable: Mapping[str, str] = field(default_factory=dict)
    # What host names mean here, and why others mean nothing.
    addresses_of_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown_names: Mapping[str, str] = field(default_factory=dict)
    # Folders that a unit of ramsterd makes at each start (RuntimeDirectory=, StateDirectory=).
    made_folders: frozenset[Path] = frozenset()
    mount_points: frozenset[Path] = frozenset()
    # None: no folder keeps the memory.
    memory_folder: MemoryFolder | None = None
    # How much memory this process may lock; None: all of it.
    lock_limit_bytes: int | None = None
    unprivileged_port: int = UNPRIVILEGED_PORT
