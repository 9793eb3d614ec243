"""Observers: the parts of the daemon that look and tell, and that no page needs.

A fault of ours in one of them must not end the daemon, for its pages end with it.  It is logged
with its traceback, counted, and an event, and the observer begins again after a while.  What serves
pages is not guarded: there a fault may mean a wrong page, so it ends the daemon.
"""

import enum
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from config.event_kinds import EventKind, about

logger = logging.getLogger("ramster.daemon")

# Between a fault and the next try: what fails always shall not fill the log.
AGAIN_SECONDS: Final = 10.0


class Observer(enum.Enum):
    """Which ones there are; the value is a label of the metric."""

    NEWS = "news"
    HEALTH = "health"
    JOBS = "jobs"
    DISK = "disk"
    CERTIFICATE = "certificate"
    COMPARING = "comparing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverStatistics:
    """How often each has failed since the daemon started."""

    faults_total: dict[Observer, int]


class Observers:
    """Runs them, and guards the daemon from them."""

    def __init__(self) -> None:
        self._faults = dict.fromkeys(Observer, 0)

    async def run(self, observer: Observer, observe: Callable[[], Awaitable[None]]) -> None:
        """Run one until cancelled, again after each fault."""
        while True:
            try:
                await observe()
            except Exception as error:
                self._on_fault(observer, error)
            await trio.sleep(AGAIN_SECONDS)

    def attempt(self, observer: Observer, look: Callable[[], None]) -> None:
        """Have one look once; a fault is told, and no error."""
        try:
            look()
        except Exception as error:
            self._on_fault(observer, error)

    def _on_fault(self, observer: Observer, error: Exception) -> None:
        self._faults[observer] += 1
        logger.error(
            "a defect of ramsterd ended the look at %s; it begins again after %g s, and pages are served as before."
            " Please report this with the lines below",
            _WHAT[observer],
            AGAIN_SECONDS,
            exc_info=error,
            extra=about(EventKind.OBSERVER_FAILED, observer=observer.value),
        )

    def statistics(self) -> ObserverStatistics:
        """Return a snapshot."""
        return ObserverStatistics(faults_total=dict(self._faults))


# What each looks at.
_WHAT: Final = {
    Observer.NEWS: "lost pages, I/O errors and waits",
    Observer.HEALTH: "health",
    Observer.JOBS: "jobs",
    Observer.DISK: "the disk of the cluster file",
    Observer.CERTIFICATE: "the certificate",
    Observer.COMPARING: "versions and clocks of peers",
}
assert set(_WHAT) == set(Observer)
