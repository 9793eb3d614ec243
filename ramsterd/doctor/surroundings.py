"""What is around a daemon, as values: its ports, the other nodes, its certificate, its units.  Pure.

Read by `peers`, `ports`, `certificates` and `unit_files`; judged by the checks named after them.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from config.errors import ConfigError
from ramsterd.asking.self_report import SelfReport


class Reach(Enum):
    """What became of a connection to the port of another node."""

    # There is a link: nothing was tried.
    LINKED = auto()
    CONNECTED = auto()
    REFUSED = auto()
    # No answer within the limit.
    SILENT = auto()
    # The kernel says that there is no way.
    NO_ROUTE = auto()
    # Its address is a name that nobody knows.
    NO_ADDRESS = auto()
    # There was no time left for it.
    NOT_TRIED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the daemon here says of another node."""

    state: str
    is_linked: bool
    # Why there is no link: one of `LinkState`, and a sentence.
    link: str
    link_reason: str
    # Since its last heartbeat came by UDP; None: none came.
    heartbeat_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another member."""

    name: str
    # As its name was resolved; empty: it was not.
    address: str
    port: int
    # This node connects to it, not the reverse.
    is_dialled: bool
    reach: Reach
    # What the kernel said.
    reach_reason: str = ""
    # The largest packet on the way, as far as the kernel knows, and whether such ones arrive; None:
    # nobody tells.
    path_mtu: int | None = None
    is_path_open: bool | None = None
    # None: no daemon runs here, or it does not know that node.
    row: Row | None = None
    # What it said when it was asked, or why it said nothing.
    report: SelfReport | None = None
    no_report: str = ""
    # By how much its clock is ahead, and how far that may be wrong.
    skew_seconds: float = 0.0
    uncertainty_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An address where the daemon of this node listens, or is to listen."""

    # What for: the key of the file.
    key: str
    # "TCP" or "UDP".
    protocol: str
    address: str
    port: int
    # Why it can't be had now; empty: it can.
    problem: str = ""
    # It is not of this machine; otherwise somebody else has it.
    is_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """This node among the others."""

    node: str
    address: str
    port: int
    # Whether the daemon here runs and answers.
    is_running: bool
    probe_seconds: float = 1.0
    # What it says of itself.
    own: SelfReport | None = None
    # How the members of its file differ from those that it runs with.
    edited: str = ""
    ports: tuple[Port, ...] = ()
    peers: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The files of [tls], and the key of heartbeats."""

    # Whether there is [tls].
    is_used: bool
    # Until it, or its CA, ends.
    seconds_left: float | None = None
    problem: ConfigError | None = None
    # It may be right, and this user may not read it.
    is_unreadable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFile:
    """A unit of ours that is installed."""

    name: str
    path: str
    # Whether it says what the one of this version says.
    is_shipped: bool
    # Another one of the same name, which this one hides.
    hides: str = ""
    is_masked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The units of ours."""

    files: tuple[UnitFile, ...] = ()
    # Units that systemd has read before their files changed.
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All of it."""

    cluster: Cluster
    certificate: Certificate
    units: Units = field(default_factory=Units)
