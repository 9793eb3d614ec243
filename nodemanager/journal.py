"""Node events in the log: the first subscriber, so that the log tells what happened before its consequences."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from config.event_kinds import EventKind, about
from config.limits import NODES_MAX
from nodemanager.events import (
    NO_MEMBER,
    STOPPED_IN_ORDER,
    NewIncarnation,
    NodeCleared,
    NodeDown,
    NodeDraining,
    NodeEvent,
    NodeSubscribers,
    NodeSuspected,
    NodeUp,
)
from nodemanager.ids import NodeId
from nodemanager.incarnations import show_start

logger = logging.getLogger("ramster.nodes")

# Before everyone else; subscribers that act use 0 and above.
LOG_PRIORITY: Final = -1000
# When a cluster starts, or a network breaks, each node of it is worth its line.
_LINES_MAX: Final = 2 * NODES_MAX


def subscribe_log(subscribers: NodeSubscribers, name_of: Callable[[NodeId], str]) -> None:
    """Have every node event logged, by the name of its node: losses as warnings, the rest as information."""
    log_event = partial(log_named, name_of)
    subscribers.subscribe(NodeUp, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeSuspected, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeCleared, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeDraining, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeDown, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NewIncarnation, log_event, priority=LOG_PRIORITY)


def log_named(name_of: Callable[[NodeId], str], event: NodeEvent) -> None:
    """Log one event in one line."""
    name = name_of(event.node)
    extra = about(_kind(event), node=name, lines_max=_LINES_MAX)
    match event:
        case NodeUp(_, incarnation):
            logger.info(
                "node %s is up; it started at %s", name, show_start(incarnation), extra=extra
            )
        case NodeSuspected(_, _, reason):
            logger.warning("node %s is suspect: %s", name, reason, extra=extra)
        case NodeCleared():
            logger.info("node %s is up again", name, extra=extra)
        case NodeDraining():
            logger.info("node %s is draining", name, extra=extra)
        case NodeDown(_, _, reason) if reason == STOPPED_IN_ORDER:
            logger.info("node %s has stopped in order", name, extra=extra)
        case NodeDown(_, _, reason) if reason == NO_MEMBER:
            logger.info("node %s is not in the cluster of this node any more", name, extra=extra)
        case NodeDown(_, None, reason):
            logger.warning("node %s is down: %s; it was never up", name, reason, extra=extra)
        case NodeDown(_, _, reason):
            logger.warning("node %s is down: %s", name, reason, extra=extra)
        case NewIncarnation(_, _, new):
            logger.warning(
                "node %s has restarted at %s without the pages that it held: those with another copy are copied again",
                name, show_start(new), extra=extra,
            )  # fmt: skip


def _kind(event: NodeEvent) -> EventKind:
    match event:
        case NodeUp():
            return EventKind.NODE_UP
        case NodeSuspected():
            return EventKind.NODE_SUSPECT
        case NodeCleared():
            return EventKind.NODE_CLEARED
        case NodeDraining():
            return EventKind.NODE_DRAINING
        case NodeDown(_, _, reason):
            is_gone = reason in {STOPPED_IN_ORDER, NO_MEMBER}
            return EventKind.NODE_LEFT if is_gone else EventKind.NODE_DOWN
        case NewIncarnation():
            return EventKind.NODE_RESTARTED
