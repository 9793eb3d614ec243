"""Every knob, as frozen dataclasses.  Field names are exactly the keys of the files.

`ClusterConfig` is `cluster.toml`, the same file on every node; `DaemonConfig` is `ramsterd.toml`,
this node's own.  Sizes are written `"512MiB"` or a plain number of bytes, durations as seconds.
The annotation of a field says what it may hold (`config.kinds`), and the reader follows it; rules
between two keys are in `config.rules`.  A value that `config.load` returns has passed every check.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from config import kinds, limits
from config.endpoint import DEFAULT_PORT, METRICS_PORT, NBD_PORT, PORT_MAX

MIB = 1024 * 1024
# Loggers are `ramster.NAME`; a test compares these with the code.
LOG_SUBSYSTEMS: Final = frozenset(
    {
        "certificate", "commands", "control", "daemon", "health", "heartbeat", "jobs", "members", "memory", "metrics",
        "nbd", "net", "nodes", "pager", "peers", "state", "tmem",
    }
)  # fmt: skip

Seconds = Annotated[float, kinds.Seconds()]
Fraction = Annotated[float, kinds.Fraction()]
Flag = Annotated[bool, kinds.Flag()]
Name = Annotated[str, kinds.Name()]
_BUDGET = kinds.Size(limits.BUDGET_BYTES_MIN, limits.BUDGET_BYTES_MAX, step=limits.PAGE_BYTES)
# Of these two a part of the memory may be written, too: "60%".
Budget = Annotated[int, kinds.SizeOrShare(_BUDGET)]
BudgetOrDefault = Annotated[int, kinds.SizeOrShare(replace(_BUDGET, zero_is_default=True))]
_TABLES = kinds.Size(limits.TABLES_BYTES_MIN, limits.BUDGET_BYTES_MAX)
TablesOrDefault = Annotated[int, replace(_TABLES, zero_is_default=True)]
_RESERVE = kinds.Size(0, limits.RESERVE_BYTES_MAX)
ReserveOrDefault = Annotated[int, replace(_RESERVE, zero_is_default=True)]
_RATE = kinds.Size(limits.FOREIGN_BYTES_PER_SECOND_MIN, limits.BUDGET_BYTES_MAX)
_READ_AHEAD = kinds.Size(limits.READ_AHEAD_BYTES_MIN, limits.READ_AHEAD_BYTES_MAX)
BytesOrNone = Annotated[int, replace(_READ_AHEAD, zero_is_default=True)]
RateOrNone = Annotated[int, replace(_RATE, zero_is_default=True)]
Copies = Annotated[int, kinds.Whole(0, limits.COPIES_MAX)]
Socket = Annotated[Path | None, kinds.Socket(limits.SOCKET_PATH_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimersConfig:
    """Timers that must be the same on all nodes; the handshake compares them."""

    keepalive_seconds: Seconds = 2.0
    idle_seconds: Seconds = 30.0
    # One member is asked in each interval; without an answer in time, others are asked to ask it.
    probe_seconds: Seconds = 1.0
    probe_timeout_seconds: Seconds = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One member: its number, name, and where its TCP link and UDP heartbeat listen (one port)."""

    number: Annotated[int, kinds.Whole(0, limits.NODE_NUMBER_MAX)]
    name: Name
    address: Annotated[str, kinds.Address()]
    port: Annotated[int, kinds.Whole(1, PORT_MAX)] = DEFAULT_PORT
    zone: Annotated[str, kinds.Name(may_be_empty=True)] = ""
    # A cordoned node keeps what it holds and is given no new pages.
    cordoned: Flag = False
    # A draining node is cordoned, and gives back what it holds.
    draining: Flag = False
    # Of that drain, written by `ramsterctl node drain`: the membership version that began it (0: it
    # is not known), when and until when (seconds since 1970; 0: no deadline), at which node the
    # operator was, and why.
    drain_number: Annotated[int, kinds.Whole(0, limits.MEMBERSHIP_VERSION_MAX)] = 0
    drain_began_at: Annotated[int, kinds.Whole(0, limits.TIMESTAMP_MAX)] = 0
    drain_deadline_at: Annotated[int, kinds.Whole(0, limits.TIMESTAMP_MAX)] = 0
    drain_origin: Annotated[int, kinds.Whole(0, limits.NODE_NUMBER_MAX)] = 0
    drain_reason: Annotated[str, kinds.Text(limits.REASON_BYTES_MAX)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """`cluster.toml`: name, timers, members in the order of the file."""

    name: Name
    timers: TimersConfig = field(default_factory=TimersConfig)
    node: Annotated[tuple[NodeConfig, ...], kinds.Rows(1, limits.NODES_MAX)] = ()
    # Without TLS the links carry pages readable to anyone on the path: loopback only, unless this
    # says so.
    insecure_plaintext: Flag = False
    # How often the members were changed at run time, and by which node last; written by `ramsterctl
    # node`.
    membership_version: Annotated[int, kinds.Whole(0, limits.MEMBERSHIP_VERSION_MAX)] = 0
    membership_origin: Annotated[int, kinds.Whole(0, limits.NODE_NUMBER_MAX)] = 0

    def in_order(self) -> "ClusterConfig":
        """Return the same with members by number: files of one cluster may differ in their order."""
        return replace(self, node=tuple(sorted(self.node, key=lambda node: node.number)))


class KeepMemory(StrEnum):
    """Who keeps the pages of a daemon until the next one starts, if no folder does."""

    AUTO = "auto"  # systemd, if it has started the daemon, else nobody
    SYSTEMD = "systemd"
    NOBODY = "no"


class LockMemory(StrEnum):
    """Whether a daemon locks its memory, so that the kernel never moves any of it to swap."""

    AUTO = "auto"  # where it may
    YES = "yes"  # or it does not start
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The arena: how much memory the compressed pages of this node may use."""

    budget: Budget = 512 * MIB
    # The largest budget that may be set while running; 0 means four times the budget.
    budget_max: BudgetOrDefault = 0
    # Remotify starts above the high watermark and stops below the low one (fractions of the
    # budget).
    high_watermark: Fraction = 0.92
    low_watermark: Fraction = 0.85
    # How much of the budget pages of other nodes may use.
    foreign_fraction_max: Fraction = 0.75
    # What one other node may have here, in bytes before compression; 0: as much as all of them
    # together.
    foreign_owner_bytes_max: Annotated[int, kinds.Size(0, limits.EXPORT_BYTES_MAX)] = 0
    # Pages this node may own, wherever they are, and keep for others: how far the tables may reach.
    pages_max: Annotated[int, kinds.Whole(1, limits.PAGES_MAX)] = 1 << 26
    # Memory that all tables may use, outside the budget; 0: see `tables_bytes`.
    tables_max: TablesOrDefault = 0
    # Who keeps the pages while the daemon restarts: one of the words, or a folder on a tmpfs.
    keep: Annotated[KeepMemory | Path, kinds.FolderOr(KeepMemory)] = KeepMemory.AUTO
    lock: LockMemory = LockMemory.AUTO
    # Free blocks that are resident before they are needed: a burst of so many bytes of zpages needs
    # neither a page of the kernel nor a peer.  0: see `reserve_bytes`.
    reserve: ReserveOrDefault = 0

    def reserve_bytes(self, *, serves_swap: bool) -> int:
        """Return the reserve of a daemon: by default none without an export for swap."""
        if self.reserve or not serves_swap:
            return self.reserve
        budget = int(self.budget)
        wanted = max(limits.RESERVE_BYTES_DEFAULT_MIN, budget // limits.BUDGET_PER_RESERVE)
        return min(wanted, budget // limits.BUDGET_PER_RESERVE_MAX)

    def kept_bytes_max(self) -> int:
        """Return what all that is kept may take once it is full."""
        return int(self.budget) + self.tables_bytes(int(self.budget)) + limits.KEPT_NAMES_BYTES

    def tables_bytes(self, budget: int) -> int:
        """Return the bound on the tables beside so large a budget: by default a quarter of it, and not too little."""
        return self.tables_max or max(budget // 4, limits.TABLES_BYTES_DEFAULT_MIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig:
    """How pages travel to peers and back."""

    # On how many peers a page is kept that is not kept here; 0: two if the cluster has three or
    # more nodes, else one.
    copies: Copies = 0
    # With fewer peers that have room than that, pages leave for those there are, and not for fewer
    # than this.
    copies_min: Annotated[int, kinds.Whole(1, limits.COPIES_MAX)] = 1
    # Offer ephemeral pages to peers before they are dropped.
    ephemeral: Flag = False
    # A PUT or GET without an answer for this long has the outcome `unknown`.
    request_seconds_max: Seconds = 5.0
    # How long a read waits for an unreachable holder before it answers with an I/O error.
    fetch_seconds_max: Seconds = 10.0
    # How long reads and writes of an export that waits for unreachable holders do so
    # (`on_unreachable`).
    unreachable_seconds_max: Seconds = 300.0
    # How long a put waits for room before it is refused.
    put_wait_seconds_max: Seconds = 5.0
    # PUT frames under way to one peer.
    puts_in_flight_max: Annotated[int, kinds.Whole(1, limits.IN_FLIGHT_MAX)] = 4
    # GET frames under way to one peer.
    gets_in_flight_max: Annotated[int, kinds.Whole(1, limits.IN_FLIGHT_MAX)] = 32
    # Compressed pages that are fetched before clients read them take no more memory than this, beside
    # the budget; 0: none are.
    read_ahead_bytes_max: BytesOrNone = 4 * MIB
    # How long a peer that refused is left alone; longer each time it refuses again.
    refusal_seconds: Seconds = 1.0
    # Our pages are fetched back after this node has had room for so long; pages a second, 0: never.
    repatriate_seconds: Seconds = 15.0
    repatriate_pages_per_second: Annotated[
        int, kinds.Whole(0, limits.REPATRIATE_PAGES_PER_SECOND_MAX)
    ] = 2000
    # Pages that have lost a copy are copied again, at most so many a second.
    rebuild_pages_per_second: Annotated[
        int, kinds.Whole(1, limits.REPATRIATE_PAGES_PER_SECOND_MAX)
    ] = 10_000
    # Compressed bytes a second that this node takes from all others together; 0: as many as come.
    foreign_bytes_per_second: RateOrNone = 256 * MIB
    # Foreign pages of an owner that is down are kept this long.
    orphan_seconds: Seconds = 600.0


class Durability(StrEnum):
    """When a flush, or a write that asks for it, is answered."""

    # When the pages are stored here, or at peers: at once, for every write is answered then.
    MEMORY = "memory"
    # When the pages are held by as many peers as `remote.copies` says, too.
    REPLICATED = "replicated"


class OnLoss(StrEnum):
    """What becomes of an export whose pages ended with the daemon."""

    # It refuses clients until an operator resets it: who went on with zeros would take them for its
    # data.
    REFUSE = "refuse"
    # It starts blank: for scratch disks, whose clients begin by writing.
    BLANK = "blank"


class OnUnreachable(StrEnum):
    """What a read or a write does that needs other nodes, while none of those answers."""

    # WAIT for an export with `swap`, ERROR for others.
    AUTO = "auto"
    # It waits as long as one of them may come back, `remote.unreachable_seconds_max` at most.
    WAIT = "wait"
    # It ends with an I/O error after `remote.fetch_seconds_max` or `remote.put_wait_seconds_max`.
    ERROR = "error"


class PoolCodec(StrEnum):
    """How the pages of a pool are compressed."""

    LZ4 = "lz4"
    # Smaller, at several times the time: for pools that are seldom read.  Needs the extra
    # `ramster[zstd]`.
    ZSTD = "zstd"
    # Kept as they are: for pages that are compressed or encrypted already.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """One NBD export: a disk of `size` bytes, a multiple of the page."""

    name: Name
    size: Annotated[
        int, kinds.Size(limits.PAGE_BYTES, limits.EXPORT_BYTES_MAX, step=limits.PAGE_BYTES)
    ]
    description: Annotated[str, kinds.Text(limits.DESCRIPTION_BYTES_MAX)] = ""
    # Clients may read, and every write is refused.
    read_only: Flag = False
    durability: Durability = Durability.MEMORY
    # As in [remote], for this export; 0: what [remote] says.
    copies: Copies = 0
    codec: PoolCodec = PoolCodec.LZ4
    on_loss: OnLoss = OnLoss.REFUSE
    # A kernel swaps to it: this machine's, or a guest's.
    swap: Flag = False
    on_unreachable: OnUnreachable = OnUnreachable.AUTO

    @property
    def waits_for_unreachable(self) -> bool:
        """Whether its reads and writes outwait nodes that do not answer."""
        if self.on_unreachable is OnUnreachable.AUTO:
            return self.swap
        return self.on_unreachable is OnUnreachable.WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdConfig:
    """Where NBD clients connect; an empty value switches that endpoint off."""

    socket: Socket = None
    # TCP, loopback only: "127.0.0.1:10809".
    listen: Annotated[str, kinds.Endpoint(loopback_only=True, example_port=NBD_PORT)] = ""
    # Clients of one export at the same time.
    connections_max: Annotated[int, kinds.Whole(1, limits.CONNECTIONS_MAX)] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TmemConfig:
    """Where programs connect for pools of their own, who may, and how much each may have."""

    socket: Socket = None
    connections_max: Annotated[int, kinds.Whole(1, limits.CONNECTIONS_MAX)] = 64
    # Names or ids; nobody named means root and the daemon's own user.
    users: Annotated[tuple[int | str, ...], kinds.Users(limits.TMEM_USERS_MAX)] = ()
    # Pages of one pool, and of all pools of one user: 4 GiB and 8 GiB before compression.
    pool_pages_max: Annotated[int, kinds.Whole(1, limits.PAGES_MAX)] = 1 << 20
    user_pages_max: Annotated[int, kinds.Whole(1, limits.PAGES_MAX)] = 1 << 21
    # Objects of one user: each costs up to 1 KiB of memory outside the budget.
    user_objects_max: Annotated[int, kinds.Whole(1, limits.PAGES_MAX)] = 1 << 16
    pools_per_user_max: Annotated[int, kinds.Whole(1, limits.POOLS_PER_USER_MAX)] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Where `ramsterctl` finds the daemon."""

    socket: Socket = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where Prometheus scrapes; empty switches it off."""

    listen: Annotated[str, kinds.Endpoint(loopback_only=False, example_port=METRICS_PORT)] = ""


class LogLevel(StrEnum):
    """Levels of the standard logging module, in lower case."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Log levels: one for all, and one for each subsystem that differs (`net = "debug"`)."""

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO
    subsystems: dict[str, LogLevel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Who we are to other nodes, and whom we believe.  Paths of files in PEM form."""

    # Certificates of the CA that signs the nodes of this cluster, and nothing else.
    ca: Annotated[Path, kinds.File()]
    # This node's own, whose name is the node's, and its private key: not readable by others, no
    # password.
    certificate: Annotated[Path, kinds.File()]
    key: Annotated[Path, kinds.File()]


# Where `DaemonConfig` is read from, unless an operator names another file.
DAEMON_FILE: Final = "/etc/ramster/ramsterd.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """`ramsterd.toml`: which node this is, its memory, its endpoints."""

    # The name of this node in the cluster file.
    node: Name
    # The cluster file; a relative path starts at the folder of this file.
    cluster: Annotated[Path, kinds.File()]
    # Of the MAC on heartbeats, the same on all nodes; its bytes are read at the start
    # (heartbeat.key).
    heartbeat_key: Annotated[Path | None, kinds.OptionalFile()] = None
    # Where what outlives the daemon is noted: which exports and pools had pages.  None: nowhere.
    state_dir: Annotated[Path | None, kinds.OptionalFolder()] = Path("/var/lib/ramster")
    # How long an orderly stop may take.
    stop_seconds_max: Seconds = 10.0
    # How long the event loop looks for work before it sleeps, where work comes that soon.  0: never.
    poll_microseconds_max: Annotated[int, kinds.Whole(0, limits.POLL_MICROSECONDS_MAX)] = 100
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    nbd: NbdConfig = field(default_factory=NbdConfig)
    export: Annotated[tuple[ExportConfig, ...], kinds.Rows(0, limits.EXPORTS_MAX)] = ()
    tmem: TmemConfig = field(default_factory=TmemConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    # Without it links are plaintext: loopback only, or insecure_plaintext in the cluster file.
    tls: TlsConfig | None = None

    @property
    def serves_swap(self) -> bool:
        """Whether a kernel swaps to an export of this node."""
        return any(export.swap for export in self.export)

    @property
    def reserve_bytes(self) -> int:
        """How much free memory is to be resident."""
        return self.memory.reserve_bytes(serves_swap=self.serves_swap)
