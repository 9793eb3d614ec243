"""What a screen shows of a node and of its cluster as the node sees it: the status page and `ramsterctl top`.  Pure.

A small part of the snapshot, in the words of the screen.  Counters stay counters: who looks twice has the rates.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from nodemanager.table import NodeRow
from ramsterd.frontends.clients.latency import RequestLatencyStatistics
from ramsterd.health.machine import HealthStatistics
from ramsterd.host.latency import together
from ramsterd.jobs.job import JobStatistics
from ramsterd.observe.snapshot import DaemonStatistics, ExportSnapshot

JOBS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One member of the cluster; None: it has not said so."""

    name: str
    is_local: bool
    state: NodeState
    is_linked: bool
    is_draining: bool
    is_cordoned: bool
    # Why it is in this state, or why there is no link.
    reason: str
    budget_bytes: int | None
    free_bytes: int | None
    # Pages of this node that it keeps, and pages of it that this node keeps.
    pages_there: int
    pages_here: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryView:
    """The memory of this node, and what is in it by kind."""

    budget_bytes: int
    resident_bytes: int
    zpage_bytes: dict[str, int]
    pages: dict[str, int]
    # Pages of this node that are at peers.
    remote_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Pages since the daemon started."""

    put_pages: int
    get_local_pages: int
    get_remote_pages: int
    get_hole_pages: int
    remotified_pages: int
    fetched_pages: int
    evicted_pages: int
    lost_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One screen."""

    node: str
    cluster: str
    version: str
    # Seconds since 1970.
    at: float
    uptime_seconds: float
    health: HealthStatistics
    memory: MemoryView
    totals: Totals
    # Of NBD and tmem together.
    latency: RequestLatencyStatistics
    # The number of the newest event.
    events_total: int
    # Connections of NBD and tmem.
    clients: int
    nodes: tuple[NodeView, ...]
    exports: tuple[ExportSnapshot, ...]
    # Those that go on first, then those that ended last.
    jobs: tuple[JobStatistics, ...]


def overview_of(now: DaemonStatistics, *, at: float) -> Overview:
    """Return what the screen shows; `at` is when the snapshot was taken, in seconds since 1970."""
    return Overview(
        node=now.node,
        cluster=now.cluster,
        version=now.version,
        at=at,
        uptime_seconds=now.uptime_seconds,
        health=now.health,
        memory=_memory_of(now),
        totals=_totals_of(now),
        latency=_latency_of(now),
        events_total=sum(now.events.events_total.values()),
        clients=now.nbd.connections + now.tmem.connections,
        nodes=_nodes_of(now),
        exports=now.exports,
        jobs=now.jobs.jobs[:JOBS_SHOWN],
    )


def of_itself(overview: Overview) -> Overview:
    """Return what a node shows of itself alone: of 64 members the rest would be 64 times the same."""
    return replace(overview, nodes=(), exports=())


def _latency_of(now: DaemonStatistics) -> RequestLatencyStatistics:
    front_ends = (now.nbd.request_latency, now.tmem.request_latency)
    names = [each.name for each in fields(RequestLatencyStatistics)]
    return RequestLatencyStatistics(
        **{name: together(getattr(each, name) for each in front_ends) for name in names}
    )


def _memory_of(now: DaemonStatistics) -> MemoryView:
    store = now.engine.store
    return MemoryView(
        budget_bytes=store.zbud.budget_bytes,
        resident_bytes=store.zbud.resident_bytes,
        zpage_bytes={family.name.lower(): count for family, count in store.zpage_bytes.items()},
        pages={family.name.lower(): count for family, count in store.zpages.items()},
        remote_pages=sum(holder.pages for holder in now.engine.remote if not holder.is_dead),
    )


def _totals_of(now: DaemonStatistics) -> Totals:
    store, remotify = now.engine.store, now.engine.remotify
    return Totals(
        put_pages=store.put_pages_total,
        get_local_pages=store.get_local_pages_total,
        get_remote_pages=store.get_remote_pages_total,
        get_hole_pages=store.get_hole_pages_total,
        remotified_pages=remotify.stored_pages_total + remotify.ephemeral.stored_pages_total,
        fetched_pages=now.engine.fetch.fetched_pages_total,
        evicted_pages=store.evicted_pages_total,
        lost_pages=store.lost_pages_total,
    )


def _nodes_of(now: DaemonStatistics) -> tuple[NodeView, ...]:
    there: Counter[NodeId] = Counter()
    here: Counter[NodeId] = Counter()
    for holder in now.engine.remote:
        there[holder.node] += 0 if holder.is_dead else holder.pages
    for owner in now.engine.foreign:
        here[owner.node] += owner.pages
    rows = now.engine.nodes.nodes
    return tuple(_local(row, now) if row.is_local else _peer(row, there, here) for row in rows)


def _local(row: NodeRow, now: DaemonStatistics) -> NodeView:
    zbud = now.engine.store.zbud
    free_bytes = max(0, zbud.budget_bytes - zbud.resident_bytes)
    return _view(row, budget_bytes=zbud.budget_bytes, free_bytes=free_bytes)


def _peer(row: NodeRow, there: Mapping[NodeId, int], here: Mapping[NodeId, int]) -> NodeView:
    node = NodeId(row.config.number)
    said = row.status if row.is_linked else None
    return _view(
        row,
        budget_bytes=None if said is None else said.budget_bytes,
        free_bytes=None if said is None else said.free_bytes,
        pages_there=there.get(node, 0),
        pages_here=here.get(node, 0),
    )


def _view(
    row: NodeRow,
    *,
    budget_bytes: int | None,
    free_bytes: int | None,
    pages_there: int = 0,
    pages_here: int = 0,
) -> NodeView:
    return NodeView(
        name=row.config.name,
        is_local=row.is_local,
        state=row.state,
        is_linked=row.is_linked,
        is_draining=row.config.draining,
        is_cordoned=row.config.cordoned,
        reason=row.reason if row.is_linked or row.is_local else row.link_reason or row.reason,
        budget_bytes=budget_bytes,
        free_bytes=free_bytes,
        pages_there=pages_there,
        pages_here=pages_here,
    )
