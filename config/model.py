"""Every knob, as frozen dataclasses.  Field names are exactly the keys of the files.

`ClusterConfig` is `cluster.toml`, the same file on every node; `DaemonConfig` is `ramsterd.toml`, this
node's own.  Sizes are written `"512MiB"` or a plain number of bytes, durations as seconds.  Loading and
judging are in `config.load`; a value of one of these types has passed every check.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TimersConfig:
    """Timers that must be the same on all nodes; the handshake compares them."""

    keepalive_seconds: float = 2.0
    idle_seconds: float = 30.0
    heartbeat_seconds: float = 1.0
    suspect_seconds: float = 3.0
    down_seconds: float = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One member: its number, name, and where its TCP link and UDP heartbeat listen (one port)."""

    number: int
    name: str
    address: str
    port: int = 7700
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """`cluster.toml`: name, timers, members in the order of the file."""

    name: str
    timers: TimersConfig = field(default_factory=TimersConfig)
    node: tuple[NodeConfig, ...] = ()
    # Without TLS the links carry pages readable to anyone on the path: loopback only, unless this says so.
    insecure_plaintext: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The arena: how much memory the compressed pages of this node may use."""

    budget: int = 512 * MIB
    # The largest budget that may be set while running; 0 means four times the budget.
    budget_max: int = 0
    # Remotify starts above the high watermark and stops below the low one (fractions of the budget).
    high_watermark: float = 0.92
    low_watermark: float = 0.85
    # How much of the budget pages of other nodes may use.
    foreign_fraction_max: float = 0.75
    # Pages this node may own, wherever they are; bounds the tables, about 40 bytes a page.
    pages_max: int = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig:
    """How pages travel to peers and back."""

    # One copy for now; more copies come with the cluster work.
    copies: int = 1
    # A PUT or GET without an answer for this long has the outcome `unknown`.
    request_seconds_max: float = 5.0
    # How long a read waits for an unreachable holder before it answers with an I/O error.
    fetch_seconds_max: float = 10.0
    # How long a put waits for room before it is refused.
    put_wait_seconds_max: float = 5.0
    # PUT frames under way to one peer.
    puts_in_flight_max: int = 4
    # GET frames under way to one peer.
    gets_in_flight_max: int = 32
    # How long a peer that refused is left alone.
    refusal_seconds: float = 1.0
    # Foreign pages of an owner that is down are kept this long.
    orphan_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """One NBD export: a disk of `size` bytes, a multiple of the page."""

    name: str
    size: int
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdConfig:
    """Where NBD clients connect; an empty value switches that door off."""

    socket: Path | None = None
    # TCP, loopback only: "127.0.0.1:10809".
    listen: str = ""
    connections_max: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Where `ramsterctl` finds the daemon."""

    socket: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where Prometheus scrapes; empty switches it off."""

    listen: str = ""


class LogLevel(StrEnum):
    """Levels of the standard logging module, in lower case."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Log levels: one for all, and one for each subsystem that differs (`net = "debug"`)."""

    level: LogLevel = LogLevel.INFO
    subsystems: dict[str, LogLevel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """`ramsterd.toml`: which node this is, its memory, its doors."""

    # The name of this node in the cluster file.
    node: str
    # The cluster file; a relative path starts at the folder of this file.
    cluster: Path
    # How long an orderly stop may take.
    stop_seconds_max: float = 10.0
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    nbd: NbdConfig = field(default_factory=NbdConfig)
    export: tuple[ExportConfig, ...] = ()
    control: ControlConfig = field(default_factory=ControlConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)
