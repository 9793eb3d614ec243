"""What of a snapshot is long work: drains, rebuild, recall, and checks of the memory.  Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from config.model import NodeConfig
from config.units import human_count
from nodemanager.ids import NodeId, nameless
from nodemanager.states import ENDED_STATES
from nodemanager.table import NodeRow
from ramsterd.health.wording import have, named, start_again
from ramsterd.jobs.work import Ending, JobKind, JobState, Order, Work
from ramsterd.membership.ending import describe_ending
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.pagepath.engine_statistics import EngineStatistics

# A drain that began so long before this daemon is one of an earlier run: clocks of nodes differ.
RESUMED_SECONDS: Final = 5.0
# The keys of work that recurs.
RISK: Final = "pages at risk"
HOME: Final = "pages of this node"
AWAY: Final = "pages of other nodes"
# What a job waits for, and what to type; more may follow.
NO_ROOM: Final = (
    "room: no other node has room (see `ramsterctl nodes`). Type `ramsterctl memory set --budget SIZE`"
    " on another node"
)
NO_ROOM_ANYWHERE: Final = (
    "room: neither this node nor another one has room (see `ramsterctl nodes`). Type `ramsterctl"
    " memory set --budget SIZE` on this node or on another one"
)


def drain_key(node: NodeConfig) -> str:
    """Return the key of a drain."""
    return f"{node.name} {node.drain_number}"


def pages_key(scrub: int) -> str:
    """Return the key of a check of all pages, by its number."""
    return f"pages {scrub}"


def tables_key(audit: int | str) -> str:
    """Return the key of a check of all tables, by its number."""
    return f"tables {audit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When, and for how long this daemon has run: orders of operators have dates."""

    # Seconds since 1970.
    wall: float
    uptime_seconds: float


def works_of(
    node: str, engine: EngineStatistics, drains: dict[NodeId, DrainSaid], at: Moment
) -> Iterator[Work]:
    """Yield all work that this node does, and the drains of others that it knows of.

    Args:
        node: The name of this node.
        engine: What its machines say.
        drains: What nodes that drain said last.
        at: Now.
    """
    names = {NodeId(row.config.number): row.config.name for row in engine.nodes.nodes}
    is_draining = False
    for row in engine.nodes.nodes:
        if row.config.draining:
            is_draining = is_draining or row.is_local
            said = drains.get(NodeId(row.config.number)) or DrainSaid(is_reached=False)
            yield _drain(row, engine, said, names, node, at)
    yield _rebuild(node, engine)
    yield _recall_away(node, engine, is_draining=is_draining)
    yield _recall_home(node, engine, names)
    yield from _verify(node, engine)


def _drain(
    row: NodeRow,
    engine: EngineStatistics,
    said: DrainSaid,
    names: dict[NodeId, str],
    node: str,
    at: Moment,
) -> Work:
    config = row.config
    left = sum(each.pages for each in engine.foreign) if row.is_local else said.pages_foreign
    own = said.pages_own_elsewhere
    began, origin = config.drain_began_at, NodeId(config.drain_origin)
    by = names.get(origin, nameless(origin)) if config.drain_number else ""
    age = max(0.0, at.wall - began) if began else 0.0
    is_resumed = not began or age > at.uptime_seconds + RESUMED_SECONDS
    deadline = config.drain_deadline_at
    # Also a node itself ends its drain by what it has told all others: they know that it is over.
    told = said.pages_foreign if row.is_local else left
    said_seconds = said.said_seconds or 0.0
    return Work(
        kind=JobKind.DRAIN,
        key=drain_key(config),
        node=config.name,
        what=f"node {config.name}",
        is_active=left != 0 or told != 0 or own != 0,
        left=left,
        # Of an earlier run of this node nothing is known.
        left_max=None if row.is_local and is_resumed else said.pages_foreign_max,
        as_of_seconds=0.0 if row.is_local else said_seconds,
        trailing=own,
        trailing_as_of_seconds=said_seconds,
        waits_for="" if said.is_reached or row.is_local else _no_link(row),
        stall_reason=f"{NO_ROOM}, or `ramsterctl node uncordon {config.name}`",
        order=Order(by, config.drain_reason),
        number=config.drain_number,
        age_seconds=age,
        is_resumed=is_resumed,
        seconds_to_deadline=deadline - at.wall if deadline else None,
        is_ours=row.is_local or by == node,
        remarks=tuple(drain_remarks(config.name, said)),
    )


def _no_link(row: NodeRow) -> str:
    name = row.config.name
    if row.state in ENDED_STATES:
        start = start_again([name])
        return f"node {name}: {name} is down, and drains as soon as it is back. Type {start}"
    return f"a link to node {name}: {name} drains as soon as it has one (see `ramsterctl nodes`)"


def drain_remarks(name: str, said: DrainSaid) -> Iterator[str]:
    """Yield what is left on a drained node, and what ends with it."""
    if said.pages_own_elsewhere:
        yield (
            f"{human_count(said.pages_own_elsewhere)} of {name} itself stay at its peers, because {name}"
            " has no room for them. Before `ramsterctl node remove`, turn swap off or discard these"
            f" pages, or give it room: `ramsterctl memory set --budget SIZE` on {name}"
        )
    ending = describe_ending(name, said.pages_owned or 0, said.clients or 0, may_be_kept=True)
    if ending:
        yield ending


def _rebuild(node: str, engine: EngineStatistics) -> Work:
    rebuild = engine.rebuild
    waits_for = _room_for_copies(engine)
    return Work(
        kind=JobKind.REBUILD,
        key=RISK,
        node=node,
        what=f"pages of node {node}",
        is_active=rebuild.is_counting or rebuild.pages_at_risk > 0,
        left=rebuild.pages_at_risk,
        done_total=rebuild.rebuilt_pages_total,
        lost_total=engine.store.lost_pages_total,
        is_counting=rebuild.is_counting,
        waits_for=waits_for if rebuild.is_waiting_for_room else "",
        stall_reason=waits_for,
    )


def _room_for_copies(engine: EngineStatistics) -> str:
    """Return what pages at risk wait for, and what to type: nodes that are away, or room at those that are there."""
    peers = [row for row in engine.nodes.nodes if not row.is_local]
    # Nobody gives them pages, whether or not they are there.
    kept_out = [row for row in peers if row.config.cordoned or row.config.draining]
    taking = [row for row in peers if row not in kept_out]
    away = [row for row in taking if not row.is_linked]
    down = [row.config.name for row in away if row.state in ENDED_STATES]
    if down:
        what = f"nodes with room: {named(down)} {have(len(down))} no link to this node"
        return f"{what}. Type {start_again(down)}"
    if away:
        names = [row.config.name for row in away]
        what = f"nodes with room: {named(names)} {have(len(names))} no link to this node"
        return f"{what} (see `ramsterctl nodes`)"
    if kept_out and len(taking) < (engine.store.copies_wanted or engine.default_copies):
        name = kept_out[0].config.name
        what = f"more nodes that take pages: {name} is {'draining' if kept_out[0].config.draining else 'cordoned'}"
        return f"{what}. Type `ramsterctl node uncordon {name}`, or add a node"
    return f"{NO_ROOM}, or add a node"


def _recall_away(node: str, engine: EngineStatistics, *, is_draining: bool) -> Work:
    """Return the work of giving pages of others back; in a drain that is the drain."""
    recall = engine.holder_recall
    return Work(
        kind=JobKind.RECALL,
        key=AWAY,
        node=node,
        what=f"pages of other nodes at node {node}",
        is_active=recall.is_active and not is_draining,
        left=0 if is_draining else recall.recall_pages,
        stall_reason=f"{NO_ROOM}, or on this node",
    )


def _recall_home(node: str, engine: EngineStatistics, names: dict[NodeId, str]) -> Work:
    recall = engine.owner_recall
    holders = ", ".join(names.get(each, nameless(each)) for each in sorted(recall.recalling))
    return Work(
        kind=JobKind.RECALL,
        key=HOME,
        node=node,
        what=f"pages of node {node} at node {holders}" if holders else f"pages of node {node}",
        is_active=recall.recall_pages > 0 or recall.pages_in_flight > 0,
        left=recall.recall_pages,
        done_total=recall.recalled_pages_total,
        stall_reason=NO_ROOM_ANYWHERE,
    )


def _verify(node: str, engine: EngineStatistics) -> Iterator[Work]:
    scrub, audit = engine.scrub, engine.audit
    if scrub.scrubs_total:
        yield Work(
            kind=JobKind.VERIFY,
            key=pages_key(scrub.scrubs_total),
            node=node,
            what=f"pages in the memory of node {node}",
            is_active=scrub.is_running,
            left=scrub.blocks - scrub.blocks_seen,
            done_total=scrub.blocks_seen,
            noun="block",
            ending=None if scrub.is_running else _pages_verified(engine),
        )
    if audit.audits_total:
        yield Work(
            kind=JobKind.VERIFY,
            key=tables_key(audit.audits_total),
            node=node,
            what=f"tables of node {node}",
            is_active=audit.is_running,
            left=None,
            done_total=audit.leaves_checked + audit.blocks_checked,
            noun="table",
            ending=None if audit.is_running else _tables_verified(engine),
        )


def _pages_verified(engine: EngineStatistics) -> Ending:
    scrub = engine.scrub
    did = f"{human_count(scrub.zpages_checked)} checked, {scrub.corrupt:,} damaged"
    if scrub.corrupt:
        why = "there are damaged pages; each is replaced by another copy, if there is one"
        return Ending(JobState.FAILED, did, why)
    return Ending(JobState.CANCELLED if scrub.is_cancelled else JobState.DONE, did)


def _tables_verified(engine: EngineStatistics) -> Ending:
    audit = engine.audit
    did = f"{human_count(audit.leaves_checked + audit.blocks_checked, 'table')} checked"
    if audit.problem:
        return Ending(JobState.FAILED, did, f"tables contradict each other ({audit.problem})")
    return Ending(JobState.CANCELLED if audit.is_cancelled else JobState.DONE, did)
