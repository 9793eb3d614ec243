"""One consistent picture of the daemon, taken between two awaits: what `status` and `/metrics` print."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

from heartbeat.service import HeartbeatStatistics
from net.link import LinkStatistics
from net.listener import ListenerStatistics
from nodemanager.ids import Incarnation, NodeId
from ramsterd.endpoints.statistics import (
    DescriptorStatistics,
    EndpointStatistics,
    MetricsStatistics,
)
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.pager import PagerStatistics
from ramsterd.frontends.tmem.counters import TmemStatistics
from ramsterd.host.logs import LogStatistics
from ramsterd.host.loop_time import PauseStatistics
from ramsterd.membership.incarnation_floors import FloorStatistics
from ramsterd.membership.members import MembersStatistics
from ramsterd.observe.loop_watch import LoopStatistics
from ramsterd.pagepath.engine_statistics import EngineStatistics
from ramsterd.statefile.marks import MarksStatistics, MarkState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSnapshot:
    """One export, and how many of its pages are not holes."""

    name: str
    size_bytes: int
    pages: int
    state: MarkState
    # Seconds since 1970; 0: it is not lost.
    lost_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatistics:
    """What the daemon runs with, and how the last reload went."""

    # The budget as the file has it, and what it came to.
    budget: str
    reloads_total: int = 0
    reloads_failed_total: int = 0
    is_last_reload_successful: bool = True
    # Seconds since 1970; that of the start until there was a reload.
    last_reload_success_at: float
    # Of the last reload: why it failed, what the next start would warn of or read anew, and what it applied.
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    # Which changes of the file wait for a restart.
    needs_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatistics:
    """The whole daemon."""

    node: str
    number: NodeId
    incarnation: Incarnation
    # What peers said of newer incarnations of this node.
    floors: FloorStatistics
    cluster: str
    version: str
    uptime_seconds: float
    # Time in which the loop did not run, which counts as no waiting.
    pauses: PauseStatistics
    config: ConfigStatistics
    members: MembersStatistics
    engine: EngineStatistics
    pager: PagerStatistics
    nbd: ClientStatistics
    tmem: TmemStatistics
    exports: tuple[ExportSnapshot, ...]
    marks: MarksStatistics
    heartbeat: HeartbeatStatistics | None
    links: dict[NodeId, LinkStatistics]
    # Who knocks at the port of the links.
    listener: ListenerStatistics
    log: LogStatistics
    # Until our certificate ends, negative after that; None without TLS.
    certificate_seconds: float | None = None
    descriptors: DescriptorStatistics
    loop: LoopStatistics
    # None where there is no such endpoint.
    control: EndpointStatistics | None = None
    metrics: MetricsStatistics | None = None


def to_plain(value: object) -> object:
    """Return a value as JSON can hold it: dataclasses as objects, enum members by name in lower case."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [to_plain(each) for each in value]
    return value
