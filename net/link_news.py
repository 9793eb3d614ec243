"""What the log, and both sides of a link, hear of its beginning and end."""

import logging
from typing import Final

from config.limits import NODES_MAX
from net.connection import Closed

log = logging.getLogger("ramster.net")

# When a cluster starts, or a network breaks, the link of each node is worth its line.
EACH_NODE: Final = {"lines_max": 2 * NODES_MAX}


def say_up(name: str) -> None:
    """A link is open."""
    log.info("node %s: link is up", name, extra=EACH_NODE)


def say_end(name: str, closed: Closed) -> None:
    """A link that was open is over."""
    if closed.is_in_order:
        log.info("node %s: link %s", name, closed.reason, extra=EACH_NODE)
    else:
        log.warning("node %s: link lost: %s", name, closed.reason, extra=EACH_NODE)


def why_cancelled(our_name: str, *, is_open: bool) -> str:
    """Return why a link is closed from outside, so that both sides can read it."""
    return f"node {our_name} stops" if is_open else "closed before both said HELLO"
