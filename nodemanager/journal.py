"""Node events in the log: the first subscriber, so that the log tells what happened before its consequences."""

import logging
from typing import Final

from nodemanager.events import (
    SAID_GOODBYE,
    NewIncarnation,
    NodeCleared,
    NodeDown,
    NodeDraining,
    NodeEvent,
    NodeSubscribers,
    NodeSuspected,
    NodeUp,
)

logger = logging.getLogger("ramster.nodes")

# Before everyone else; subscribers that act use 0 and above.
LOG_PRIORITY: Final = -1000


def subscribe_log(subscribers: NodeSubscribers) -> None:
    """Have every node event logged: losses as warnings, the rest as information."""
    subscribers.subscribe(NodeUp, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeSuspected, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeCleared, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeDraining, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NodeDown, log_event, priority=LOG_PRIORITY)
    subscribers.subscribe(NewIncarnation, log_event, priority=LOG_PRIORITY)


def log_event(event: NodeEvent) -> None:
    """Log one event in one line."""
    match event:
        case NodeUp(node, incarnation):
            logger.info("node %d is up, incarnation %d", node, incarnation)
        case NodeSuspected(node, _, reason):
            logger.warning("node %d is suspect: %s", node, reason)
        case NodeCleared(node):
            logger.info("node %d is up as before", node)
        case NodeDraining(node):
            logger.info("node %d is draining", node)
        case NodeDown(node, incarnation, reason) if reason == SAID_GOODBYE:
            logger.info("node %d left, incarnation %d", node, incarnation)
        case NodeDown(node, None, reason):
            logger.warning("node %d is down, never heard: %s", node, reason)
        case NodeDown(node, incarnation, reason):
            logger.warning("node %d is down, incarnation %d: %s", node, incarnation, reason)
        case NewIncarnation(node, old, new):
            logger.warning("node %d lost all it held: incarnation %d after %d", node, new, old)
