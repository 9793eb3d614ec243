"""One consistent picture of the daemon, taken between two awaits: what `status` and `/metrics` print."""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final, get_args, get_type_hints

from heartbeat.service import HeartbeatStatistics
from net.link import LinkStatistics
from net.listener import ListenerStatistics
from nodemanager.ids import Incarnation, NodeId, nameless
from ramsterd.asking.comparer import PeerReport
from ramsterd.asking.exchange import AskingStatistics
from ramsterd.endpoints.statistics import (
    DescriptorStatistics,
    EndpointStatistics,
    MetricsStatistics,
)
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.pager import PagerStatistics
from ramsterd.frontends.tmem.counters import TmemStatistics
from ramsterd.handover.arrival import HandoverStatistics
from ramsterd.health.machine import HealthStatistics
from ramsterd.host.daemon_protection import ProtectionStatistics
from ramsterd.host.events.recorder import EventStatistics
from ramsterd.host.logs.handler import LogStatistics
from ramsterd.host.loop_time import PauseStatistics
from ramsterd.host.poller import PollStatistics
from ramsterd.jobs.table import JobsStatistics
from ramsterd.kept.memory import MemoryStatistics
from ramsterd.membership.addresses import AddressStatistics
from ramsterd.membership.incarnation_floors import FloorStatistics
from ramsterd.membership.members import MembersStatistics
from ramsterd.observe.loop_watch import LoopStatistics
from ramsterd.observe.observers import ObserverStatistics
from ramsterd.pagepath.engine_statistics import EngineStatistics
from ramsterd.statefile.marks import MarksStatistics, MarkState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSnapshot:
    """One export, and how many of its pages are not holes."""

    name: str
    size_bytes: int
    pages: int
    # Of these, at most: reads of them fail.
    unreadable_pages: int
    # Whether a kernel swaps to it.
    is_swap: bool
    state: MarkState
    # Seconds since 1970; 0: it is not lost.
    lost_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatistics:
    """What the daemon runs with, and how the last reload went."""

    # Its own file, from the root.
    file: str
    # The budget as the file has it, and what it came to.
    budget: str
    # Who keeps the pages, as the file has it.
    keep: str
    # Where the cluster file is, and the state file; empty: there is none.
    cluster: str
    state_dir: str = ""
    reloads_total: int = 0
    failed_reloads_total: int = 0
    is_last_reload_successful: bool = True
    # Seconds since 1970; that of the start until there was a reload.
    last_reload_success_timestamp_seconds: float
    # Of the last reload: why it failed, what the next start would warn of or read anew, and what it
    # applied.
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    # The certificate and the key that are new with it.
    loaded: tuple[str, ...] = ()
    # Which changes of the file wait for a restart.
    needs_restart: tuple[str, ...] = ()
    # Changes of exports by commands: carried out, also where all was so already; refused; and not
    # begun yet.
    export_changes_total: int = 0
    refused_export_changes_total: int = 0
    waiting_export_changes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatistics:
    """The whole daemon."""

    node: str
    # For `cluster.toml`; everywhere else a node has its name.
    number: int
    incarnation: Incarnation
    # What peers said of newer incarnations of this node.
    incarnation_floors: FloorStatistics
    cluster: str
    version: str
    build: str
    # Whether the compiled inner loops run, or Python's.
    is_compiled: bool
    uptime_seconds: float
    # Since 1970, as the clock of this machine has it.
    clock_seconds: float
    # Time in which the loop did not run, which counts as no waiting.
    pauses: PauseStatistics
    # Connections of clients that an earlier process left to this one.
    handover: HandoverStatistics
    # Who keeps the pages, and what this start found of those of the last run.
    memory: MemoryStatistics
    # What keeps this process going while memory is short.
    protection: ProtectionStatistics
    config: ConfigStatistics
    membership: MembersStatistics
    engine: EngineStatistics
    pager: PagerStatistics
    nbd: ClientStatistics
    tmem: TmemStatistics
    exports: tuple[ExportSnapshot, ...]
    state_file: MarksStatistics
    heartbeat: HeartbeatStatistics | None
    links: dict[NodeId, LinkStatistics]
    # Commands that nodes pass on to each other.
    asking: AskingStatistics
    observers: ObserverStatistics
    # What peers said of themselves lately: their versions and clocks.
    peer_reports: dict[NodeId, PeerReport] = field(default_factory=dict)
    # Connections of others at the port for links.
    listener: ListenerStatistics
    # Where this node is, and what the names of members mean.
    addresses: AddressStatistics
    log: LogStatistics
    # Subsystems whose level an operator has changed since the start.
    changed_log_levels: int
    # Commands on exports whose outcome can be asked for.
    known_export_changes: int = 0
    events: EventStatistics
    # Until our certificate ends, negative after that; None without TLS.
    certificate_expiry_seconds: float | None = None
    descriptors: DescriptorStatistics
    loop_stall: LoopStatistics
    # What the loop spares by looking at its sockets for a while before it sleeps.
    polling: PollStatistics
    # None where there is no such endpoint.
    control: EndpointStatistics | None = None
    metrics: MetricsStatistics | None = None
    # Long work, as it follows from all this.
    jobs: JobsStatistics = field(default_factory=JobsStatistics)
    # What follows from all this.
    health: HealthStatistics = field(default_factory=HealthStatistics)


_PLAIN: Final = frozenset({bool, float, int, str, type(None)})


def to_plain(value: object, names: Mapping[NodeId, str] | None = None) -> object:
    """Return a value as JSON can hold it.

    Dataclasses become objects, and enum members their name in lower case.  With `names`, a field
    that is a number of a node, or has such numbers as keys, shows the node by name, and one that
    has none any more as `node 7`.
    """
    if type(value) in _PLAIN:  # most are
        return value
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: to_plain(_named(getattr(value, name), kind, names), names)
            for name, kind in _kinds(type(value)).items()
        }
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(each, names) for key, each in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [to_plain(each, names) for each in value]
    return value


def _named(value: object, kind: object, names: Mapping[NodeId, str] | None) -> object:
    """Return a field's value with names in place of numbers of nodes, as far as its type says that it has some."""
    if names is None or kind is None:
        return value
    if isinstance(value, Mapping) and get_args(kind)[:1] == (NodeId,):
        return {names.get(node, nameless(node)): each for node, each in value.items()}
    if isinstance(value, int) and (kind is NodeId or NodeId in get_args(kind)):
        return names.get(NodeId(value), nameless(NodeId(value)))
    return value


@functools.cache
def _kinds(shape: type) -> dict[str, object]:
    """Return the fields of a dataclass; with their types, which keep a NodeId apart from other whole numbers, if these name nodes."""
    kinds = get_type_hints(shape)
    return {
        field.name: kind if NodeId in ((kind := kinds[field.name]), *get_args(kind)) else None
        for field in fields(shape)
    }
