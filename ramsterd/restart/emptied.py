"""Which exports and pools have no page any more: they are blank, and not lost after a restart."""

from typing import Final

from ramsterd.frontends.nbd.server import NbdServer
from ramsterd.frontends.tmem.server import TmemServer
from ramsterd.host.loop_clock import sleep_to_turn
from ramsterd.reconfigure.exports import Exports

# How often is looked: a crash so soon after a TRIM calls an export lost.
EMPTIED_SECONDS: Final = 1.0


class Emptied:
    """Looks again and again."""

    def __init__(self, exports: Exports, nbd: NbdServer, tmem: TmemServer) -> None:
        self._exports, self._nbd, self._tmem = exports, nbd, tmem

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await sleep_to_turn(EMPTIED_SECONDS)
            self.clear()

    def clear(self) -> None:
        """Note those that are empty now."""
        if self._nbd.is_idle:
            self._exports.clear_emptied()
        self._tmem.clear_emptied()
