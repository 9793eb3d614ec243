"""The end of a farewell: what was said last has left."""

from collections.abc import Mapping
from typing import Final

import trio

from net.link import Link
from nodemanager.ids import NodeId

# A farewell queues behind what was sent before.  A peer that reads nothing for this long purges us
# later, by itself: when it sees our next incarnation, or after `orphan_seconds`.
FAREWELL_SECONDS_MAX: Final = 2.0
FAREWELL_POLL_SECONDS: Final = 0.01


async def wait_sent(links: Mapping[NodeId, Link]) -> None:
    """Wait until no link has anything to send, within a bound."""
    with trio.move_on_after(FAREWELL_SECONDS_MAX):
        # Once in a daemon's run: no event for it in the links.
        while any(link.send_queue_bytes for link in links.values()):  # noqa: ASYNC110  see above
            await trio.sleep(FAREWELL_POLL_SECONDS)
