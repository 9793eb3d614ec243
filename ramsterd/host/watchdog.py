"""Watchdog: systemd is told, often enough, that the loop runs."""

from collections.abc import Mapping

import trio

from ramsterd.host.sd_notify import Notifier, watchdog_seconds_from


class Watchdog:
    """Feeds it, where systemd has one."""

    def __init__(self, notifier: Notifier, environ: Mapping[str, str]) -> None:
        self._notifier = notifier
        self._seconds = watchdog_seconds_from(environ)

    async def run(self) -> None:
        """Feed it until cancelled; to the very end of a stop, which may take longer than systemd waits."""
        if self._seconds is None:
            return
        while True:
            self._notifier.watchdog()
            await trio.sleep(self._seconds / 2)

    def on_pause(self) -> None:
        """This process did not run for a while, and systemd's time went on."""
        if self._seconds is not None:
            self._notifier.watchdog()
