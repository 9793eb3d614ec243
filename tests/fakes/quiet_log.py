"""A log that writes nothing, and leaves the loggers of this process alone."""

from config.model import LogConfig
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.logs.handler import LogHandler
from ramsterd.host.logs.limiter import Limiter
from ramsterd.host.logs.log import Log


class QuietLog(Log):
    """Its handlers hear nothing, because no logger has them."""

    def __init__(self) -> None:
        handler = LogHandler(2, is_journal=False, clock=lambda: 0.0, limiter=Limiter())
        events = EventRecorder(run="one", clock=lambda: 0.0)
        super().__init__(handler, LogConfig(), events=events, clock=lambda: 0.0)

    def _apply(self) -> None:
        """Change nothing."""
