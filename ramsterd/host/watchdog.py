"""Watchdog: systemd is told, often enough, that the loop runs."""

from collections.abc import Mapping
from typing import Final

import trio

from ramsterd.host.sd_notify import Notifier, watchdog_seconds_from

# A start takes up a million pages a second, and feeds nothing meanwhile; as TimeoutStartSec= of the
# unit.
START_SECONDS_MAX: Final = 600.0


class Watchdog:
    """Feeds it, where systemd has one."""

    def __init__(self, notifier: Notifier, environ: Mapping[str, str]) -> None:
        self._notifier = notifier
        self._seconds = watchdog_seconds_from(environ)

    async def run(self) -> None:
        """Feed it until cancelled.

        To the very end of a stop, which may take longer than systemd waits.
        """
        if self._seconds is None:
            return
        # The program before may have asked for more time, for this start.
        self._notifier.watch(seconds=self._seconds)
        while True:
            self._notifier.watchdog()
            await trio.sleep(self._seconds / 2)

    def on_replacing(self) -> None:
        """This process becomes the next program, which feeds it once it serves."""
        if self._seconds is not None:
            self._notifier.watch(seconds=START_SECONDS_MAX)

    def on_pause(self) -> None:
        """This process did not run for a while, and systemd's time went on."""
        if self._seconds is not None:
            self._notifier.watchdog()
