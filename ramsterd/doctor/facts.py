"""What a machine and a daemon are like, as values: read by `machine` and `daemon`, judged by the checks.  Pure."""

from dataclasses import dataclass, field

from config.memory import MemoryBound
from config.model import ClusterConfig, DaemonConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What protects one process."""

    # 0: it can't be seen from here, as in another container, and this is its own word.
    pid: int
    is_locked: bool
    # Of all mappings, most of which may be holes.
    locked_bytes: int
    oom_score_adj: int
    # Each of its threads has PR_SET_IO_FLUSHER.
    is_io_flusher: bool
    descriptors_max: int | None
    # Effective capabilities, as a mask.
    capabilities: int = 0

    @property
    def is_seen(self) -> bool:
        """Whether it is in our /proc."""
        return self.pid > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a start of the daemon would have: by its systemd unit, or from this shell."""

    # Empty: there is no unit.
    unit: str
    # How much memory it may lock; None: all of it.
    lock_limit_bytes: int | None
    descriptors_max: int | None
    oom_score_adj: int
    # CAP_SYS_RESOURCE: for PR_SET_IO_FLUSHER, and to leave the OOM killer's list by itself.
    has_resource_right: bool
    # How many file descriptors systemd keeps over a restart.
    kept_descriptors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The daemon that answers."""

    version: str
    # Empty: one of an older version does not tell.
    build: str = ""
    budget_bytes: int
    # Who keeps its pages; empty: they end with the process.
    keeper: str
    # Free memory for a burst: what is to be resident, what is, and whether the kernel has no more.
    reserve_bytes: int
    ready_bytes: int
    is_reserve_short: bool
    process: Process


def unit_of(group: str) -> str:
    """Return the last part of a cgroup's name: with systemd the name of a unit."""
    return group.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One cgroup of the daemon: its own, or one above it."""

    # As in "/ramster.slice/ramsterd.service".
    name: str
    folder: str
    # memory.min
    protected_bytes: int
    # memory.swap.max; None: no limit.
    swap_bytes_max: int | None

    @property
    def unit(self) -> str:
        """Return the unit of systemd that it is, as far as its name tells."""
        return unit_of(self.name)

    @property
    def is_slice(self) -> bool:
        """Whether it stays when the daemon's process ends."""
        return self.unit.endswith(".slice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A cgroup beside those of the daemon."""

    name: str
    folder: str
    used_bytes: int
    # The lower one of memory.high and memory.max; None: neither is set.
    bytes_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Where the daemon is among the cgroups of the machine."""

    # Of the tree that accounts memory; 0: none does.
    version: int = 0
    # From its own up, without the root.
    levels: tuple[Level, ...] = ()
    # Beside each of these.
    neighbours: tuple[Neighbour, ...] = ()
    # The highest level is one below the root; in a container others may be beside and above it.
    sees_all: bool = True
    # What bounds its memory.
    bounds: tuple[MemoryBound, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The kernel of this machine."""

    memory_bytes: int
    # vm.min_free_kbytes
    min_free_bytes: int
    # vm.watermark_boost_factor; 0 also where a kernel has none.
    watermark_boost: int
    has_nbd: bool
    # In how much of the last five minutes all tasks waited for memory (PSI); None: it does not tell.
    stalled_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the kernel's nbd that is attached."""

    # As in "nbd0".
    name: str
    # What it was attached to by `ramsterctl nbd attach`; empty: by another program.
    export: str
    # The export is one of this node's daemon.
    is_ours: bool
    is_swap: bool
    # Who keeps it attached; None: nobody.
    helper: Process | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the checks ask for."""

    # The file of the node, and whether the daemon that runs says that it was started with it.
    file: str
    is_file_of_running: bool = False
    daemon: DaemonConfig
    cluster: ClusterConfig
    start: Start
    # None: it does not run.
    running: Running | None
    # Why a daemon that seems to run does not answer.
    no_answer: str = ""
    # Of the running daemon; else of what a start would get.
    groups: Groups
    kernel: Kernel
    devices: tuple[Device, ...] = ()
    # Units of ours whose files are installed.
    unit_files: frozenset[str] = field(default_factory=frozenset)
    # Judge as if this machine swapped to its own exports, whether it does or not.
    wants_own_swap: bool = False

    @property
    def is_own_host(self) -> bool:
        """Whether this machine swaps to exports of its own daemon, or is about to."""
        return self.wants_own_swap or any(
            device.is_ours and (device.is_swap or self.is_for_swap(device.export))
            for device in self.devices
        )

    @property
    def unit(self) -> str:
        """The systemd unit of the daemon; empty: it has none, or was started without it."""
        if self.running is None or not self.running.process.is_seen:
            return self.start.unit
        own = self.groups.levels[0].unit if self.groups.levels else ""
        return own if own.startswith("ramster") and own.endswith(".service") else ""

    def is_for_swap(self, name: str) -> bool:
        """Whether the export of a name says so."""
        return any(export.swap for export in self.daemon.export if export.name == name)
