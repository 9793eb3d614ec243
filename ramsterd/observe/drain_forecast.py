"""What a drain of a node would do: how many pages would move, whether there is room, what is at risk.  Pure.

An estimate by what nodes say of themselves: pages come and go meanwhile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from config.limits import PAGE_BYTES
from config.units import human_count
from nodemanager.states import ENDED_STATES, NodeState, may_place
from nodemanager.table import NodeRow
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.observe.job_facts import drain_remarks
from ramsterd.observe.snapshot import DaemonStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many bytes of zpages another node takes; `why` it takes none, or an empty text."""

    node: str
    free_bytes: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerShare:
    """How many pages of an owner would leave the node: they go home, or to others from there."""

    node: str
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainForecast:
    """See the module's text."""

    node: str
    is_reached: bool
    # As far as this node knows; then it can be asked at no other node either.
    is_down: bool
    # Pages of other nodes that would move, and how large they are at most; None: it can't be asked.
    pages_foreign: int | None
    bytes_max: int | None
    # By owner, as far as this node knows: of itself it knows all, of others only its own pages.
    owners: tuple[OwnerShare, ...]
    pages_own_elsewhere: int | None
    rooms: tuple[Room, ...]
    room_bytes: int
    # On how many peers a page is kept after the drain.
    copies_after: int
    # Whether other nodes have these copies already, so that no page has to move.
    is_enough_elsewhere: bool
    # Whether all pages find a place; None: it can't be told.
    has_room: bool | None
    # A sentence each.
    risks: tuple[str, ...]


def forecast(
    now: DaemonStatistics,
    node: str,
    said: DrainSaid,
    warnings: Iterable[str],
    *,
    copies_after: int,
) -> DrainForecast:
    """Return what a drain would do.

    Args:
        now: What this node knows.
        node: The name of the node that is to drain.
        said: What that node answered.
        warnings: What is said of fewer copies.
        copies_after: On how many peers pages of this node are kept after the drain.
    """
    rooms = tuple(_room(now, row) for row in now.engine.nodes.nodes if row.config.name != node)
    room_bytes = sum(each.free_bytes for each in rooms)
    bytes_max = _bytes_max(now, node, said)
    is_enough = _is_enough_elsewhere(now, node, copies_after)
    return DrainForecast(
        node=node,
        is_reached=said.is_reached,
        is_down=not said.is_reached and _is_down(now, node),
        pages_foreign=said.pages_foreign,
        bytes_max=bytes_max,
        owners=tuple(_owners(now, node)),
        pages_own_elsewhere=said.pages_own_elsewhere,
        rooms=rooms,
        room_bytes=room_bytes,
        copies_after=copies_after,
        is_enough_elsewhere=is_enough,
        has_room=None if bytes_max is None else is_enough or bytes_max <= room_bytes,
        risks=(*warnings, *_risks(now, node), *drain_remarks(node, said)),
    )


def _is_enough_elsewhere(now: DaemonStatistics, node: str, copies_after: int) -> bool:
    """Return whether each page at the node has as many copies at others as it wants after the drain.

    An owner gives up a copy that is more than its pool wants, and moves no byte
    (`remote/home/recall_owner.py`).  Of other owners this assumes the settings of this node, and
    all copies in place while all nodes are up and take new ones.
    """
    engine = now.engine
    copies = min(engine.default_copies, engine.store.copies_wanted or engine.default_copies)
    if copies_after >= copies or engine.rebuild.is_counting or engine.rebuild.pages_at_risk:
        return False
    return all(
        not (row.config.cordoned or row.config.draining)
        and (row.is_local or (may_place(row.state) and row.is_linked))
        for row in engine.nodes.nodes
        if row.config.name != node
    )


def _is_down(now: DaemonStatistics, node: str) -> bool:
    rows = now.engine.nodes.nodes
    return any(row.config.name == node and row.state in ENDED_STATES for row in rows)


def _bytes_max(now: DaemonStatistics, node: str, said: DrainSaid) -> int | None:
    if said.pages_foreign is None:
        return None
    if node == now.node:
        return now.engine.foreign_zpage_bytes
    bytes_max = said.pages_foreign * PAGE_BYTES
    for row in now.engine.nodes.nodes:
        # One that said it uses nothing said so before the pages came that it tells of now.
        if row.config.name == node and row.status is not None and row.status.pressure:
            bytes_max = min(bytes_max, int(row.status.pressure * row.status.budget_bytes))
    return bytes_max


def _owners(now: DaemonStatistics, node: str) -> Iterator[OwnerShare]:
    names = {row.config.number: row.config.name for row in now.engine.nodes.nodes}
    if node == now.node:
        for owner in now.engine.foreign:
            if owner.pages:
                yield OwnerShare(node=names.get(owner.node, str(owner.node)), pages=owner.pages)
        return
    holders = (each for each in now.engine.remote if not each.is_dead)
    pages = sum(each.pages for each in holders if names.get(each.node) == node)
    if pages:
        yield OwnerShare(node=now.node, pages=pages)


def _room(now: DaemonStatistics, row: NodeRow) -> Room:
    name = row.config.name
    if why := _why_none(row):
        return Room(node=name, free_bytes=0, why=why)
    if row.is_local:
        free_bytes = now.engine.foreign_room_bytes
    else:
        free_bytes = row.status.free_bytes if row.status is not None else 0
    return Room(node=name, free_bytes=free_bytes, why="" if free_bytes else "it is full")


def _why_none(row: NodeRow) -> str:
    if row.config.draining:
        return "it drains, too"
    if row.config.cordoned:
        return "it is cordoned"
    if row.is_local:
        return ""
    if not may_place(row.state):
        return f"it is {row.state.value}"
    if not row.is_linked:
        return "it has no link to this node"
    return "" if row.status is not None and row.status.is_accepting else "it accepts no pages"


def _risks(now: DaemonStatistics, node: str) -> Iterator[str]:
    if now.engine.rebuild.pages_at_risk:
        pages = human_count(now.engine.rebuild.pages_at_risk)
        yield f"{pages} of node {now.node} have fewer copies than asked: wait until they are copied"
    down = [
        row.config.name
        for row in now.engine.nodes.nodes
        if row.state is NodeState.DOWN and row.config.name != node
    ]
    if down:
        yield f"down: {', '.join(down)}. Pages of a node that is down do not move"
