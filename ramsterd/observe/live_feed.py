"""The live feed of the status page: one text for all who look, made anew while somebody does.

Server-sent events, as the HTML standard has them (section 9.2): `data: ` and a line of JSON for each picture.
"""

import json
from collections.abc import Callable
from typing import Final

from ramsterd.host.loop_clock import sleep_until_pause, world_time
from ramsterd.observe.overview import Overview
from ramsterd.observe.snapshot import to_plain

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
# As often as health is judged.  A picture of 12 nodes takes a millisecond.
FEED_SECONDS: Final = 2.0
# Half of the places at the port: scrapers have the others.
VIEWERS_MAX: Final = 8


class LiveFeed:
    """See the module's text."""

    def __init__(self, overview: Callable[[], Overview]) -> None:
        self._overview = overview
        self._made_at = float("-inf")
        self._text = b""
        self.viewers = 0

    @property
    def is_full(self) -> bool:
        """Whether there are as many viewers as there may be."""
        return self.viewers >= VIEWERS_MAX

    def text(self) -> bytes:
        """Return the event of the present picture; it is not older than `FEED_SECONDS`."""
        now = world_time()
        if now - self._made_at >= FEED_SECONDS:
            picture = json.dumps(to_plain(self._overview()), separators=(",", ":"))
            self._made_at, self._text = now, f"data: {picture}\n\n".encode()
        return self._text

    async def wait_next(self) -> None:
        """Wait until there is another picture; pauses of the process count."""
        due = self._made_at + FEED_SECONDS
        while (seconds := due - world_time()) > 0:
            await sleep_until_pause(seconds)
