"""What the log, and both sides of a link, hear of its beginning and end."""

import logging
from typing import Final

from config.event_kinds import EventKind, about
from config.limits import NODES_MAX
from net.connection import Closed

log = logging.getLogger("ramster.net")

# When a cluster starts, or a network breaks, the link of each node is worth its line.
_LINES_MAX: Final = 2 * NODES_MAX


def say_up(name: str) -> None:
    """A link is open."""
    log.info("node %s: link is up", name, extra=_about(EventKind.LINK_UP, name))


def say_end(name: str, closed: Closed) -> None:
    """A link that was open is over."""
    if closed.is_in_order:
        extra = _about(EventKind.LINK_CLOSED, name)
        log.info("node %s: link %s", name, closed.reason, extra=extra)
    else:
        extra = _about(EventKind.LINK_LOST, name)
        log.warning("node %s: link lost: %s", name, closed.reason, extra=extra)


def _about(kind: EventKind, name: str) -> dict[str, object]:
    return about(kind, node=name, lines_max=_LINES_MAX)


def why_cancelled(our_name: str, *, is_open: bool) -> str:
    """Return why a link is closed from outside, so that both sides can read it."""
    return f"node {our_name} stops" if is_open else "closed before both said HELLO"
