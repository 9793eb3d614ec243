"""What `ramsterctl` may change in a running daemon."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from config.copies import default_copies
from config.errors import Mismatch
from config.event_kinds import EventKind, about
from config.host import read_memory
from config.kinds import Size, SizeOrShare
from config.limits import BUDGET_BYTES_MIN, PAGE_BYTES
from config.machine import judge_budget
from config.memory import MemoryBound, tightest
from config.model import ClusterConfig
from config.reader import show
from config.shares import describe_size
from config.units import format_bytes, human_count
from nodemanager.ids import NodeId
from nodemanager.table import NodeRow
from ramsterd import __version__
from ramsterd.admin.socket import CommandRefused
from ramsterd.host.build import BUILD
from ramsterd.host.certificate import wall_clock
from ramsterd.observe.overview import of_itself, overview_of
from ramsterd.observe.snapshot import DaemonStatistics, to_plain
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers

logger = logging.getLogger("ramster.commands")


def set_budget(
    engine: Engine,
    peers: Peers,
    request: dict[str, object],
    *,
    memory: Callable[[], tuple[MemoryBound, ...]] = read_memory,
) -> object:
    """Begin to change the budget, and return how that stands; `status` shows how far it is.

    Raises:
        CommandRefused: It is no size, too small, over `budget_max`, or over a limit beyond which
            the kernel ends the daemon; nothing has changed.
    """
    found, bounds = request.get("budget"), memory()
    size = Size(BUDGET_BYTES_MIN, engine.store.room.limits.budget_bytes_max, step=PAGE_BYTES)
    kind = SizeOrShare(size).given(tightest(bounds) if bounds else None)
    try:
        budget_bytes = kind.read(found, Path())
    except Mismatch as mismatch:
        limit = f"; [memory] budget_max is {format_bytes(size.most)} here"
        raise CommandRefused(f"budget: found {show(found)}, expected {mismatch}{limit}") from None
    finding = judge_budget(budget_bytes, bounds)
    if finding is not None and finding.is_error:
        raise CommandRefused(str(finding))
    if finding is not None:
        logger.warning("%s", finding)
    logger.info(
        "an operator changes the budget to %s", describe_size(budget_bytes),
        extra=about(EventKind.BUDGET_ORDERED, budget_bytes=int(budget_bytes)),
    )  # fmt: skip
    warnings = _fewer_copies(engine.recalled_at(int(budget_bytes)), peers.members.cluster)
    begun = to_plain(engine.set_budget(int(budget_bytes), now=trio.current_time()))
    assert isinstance(begun, dict)
    peers.settle()
    return {**begun, "warnings": warnings + ([] if finding is None else [str(finding)])}


def _fewer_copies(recalled: Mapping[NodeId, int], cluster: ClusterConfig) -> list[str]:
    """Return a sentence for each node whose pages have to leave this one, where pages have several copies."""
    copies = default_copies(cluster)
    if copies == 1:
        return []
    names = {node.number: node.name for node in cluster.node}
    return [
        f"about {human_count(pages)} of node {names.get(owner, owner)} may drop from {copies} copies to {copies - 1}:"
        f" this node gives them back, and they have {copies} copies again only if {copies} other nodes have room"
        " (unless ramsterd.toml sets copies)"
        for owner, pages in sorted(recalled.items())
    ]


def overview(
    statistics: Callable[[], DaemonStatistics],
    request: dict[str, object],
    *,
    wall_clock: Callable[[], float] = wall_clock,
) -> object:
    """Return what one screen shows; with `of_itself` nothing of what other members say."""
    found = overview_of(statistics(), at=wall_clock())
    return to_plain(of_itself(found) if request.get("of_itself") is True else found)


def version(node: str) -> object:
    """Return what this node runs."""
    return {"node": node, "version": __version__, "build": BUILD}


def nodes(engine: Engine, peers: Peers, _: dict[str, object]) -> object:
    """Return every member as this node sees it, with what is known of the copies that it keeps."""
    snapshot, heartbeat = engine.statistics(), peers.heartbeat
    own_budget_bytes = snapshot.store.zbud.budget_bytes
    return [
        {
            **_fields(row),
            "budget_bytes": own_budget_bytes if row.is_local else _said_budget_bytes(row),
            "refused_until": snapshot.remotify.refused_until.get(NodeId(row.config.number), 0.0),
            "trust": to_plain(snapshot.trust.get(NodeId(row.config.number))),
            "heartbeat_seconds": None
            if heartbeat is None
            else heartbeat.heartbeat_seconds(NodeId(row.config.number)),
        }
        for row in snapshot.nodes.nodes
    ]


def _said_budget_bytes(row: NodeRow) -> int | None:
    """Return what a peer said last; without a link that may no longer be true."""
    return row.status.budget_bytes if row.status is not None and row.is_linked else None


def _fields(row: NodeRow) -> dict[str, object]:
    plain = to_plain(row)
    assert isinstance(plain, dict)
    return plain
