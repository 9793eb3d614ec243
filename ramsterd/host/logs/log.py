"""The log of this process: what it says, how, at which levels, and what of it is an event."""

import logging
import math
from collections.abc import Callable
from typing import Final

from config.event_kinds import EventKind, about
from config.model import LOG_SUBSYSTEMS, LogConfig, LogLevel
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.logs.handler import LogHandler, LogStatistics
from ramsterd.host.logs.levels import ALL, Levels, SubsystemLevel

logger = logging.getLogger("ramster.daemon")

_EVENT: Final = about(EventKind.LOG_LEVEL_CHANGED)
_CHANGED: Final = "an operator changes the log level of %s to %s%s"


class Log:
    """Keeps the handler, and all loggers, at the levels that are wanted."""

    def __init__(
        self,
        handler: LogHandler,
        config: LogConfig,
        *,
        events: EventRecorder,
        clock: Callable[[], float],
    ) -> None:
        self.handler = handler
        self.events = events
        self._levels = Levels(config)
        self._clock = clock
        self.follow(config)

    def follow(self, config: LogConfig) -> None:
        """Use what the file says now; levels of an operator stay."""
        self._levels.follow(config)
        self.handler.use_format(config.format)
        self._apply()

    def change_level(self, name: str, level: LogLevel, *, seconds: float | None) -> None:
        """Use a level for a subsystem, or for `ALL`, for a time, or until a reset or a restart."""
        lasts = "" if seconds is None else f" for {seconds:,.0f} s"
        # Before it counts: it may be the last line of a while.
        logger.info(_CHANGED, _described(name), level.value, lasts, extra=_EVENT)
        until = math.inf if seconds is None else self._clock() + seconds
        self._levels.change(name, level, until=until)
        self._apply()

    def reset_level(self, name: str) -> bool:
        """Use the level of the config for a subsystem, or for `ALL`; return whether that is news."""
        was_changed = self._levels.reset(name)
        self._apply()
        if was_changed:
            logger.info("an operator resets the log level of %s", _described(name), extra=_EVENT)
        return was_changed

    def on_time(self) -> None:
        """Say what is due, and end levels whose time is over.  Call it every few seconds."""
        self.handler.say_due()
        self.events.on_time()
        for name in self._levels.on_deadline(self._clock()):
            self._apply()
            logger.info(
                "the log level of %s is %s again",
                _described(name),
                self._levels.of(name).value,
                extra=_EVENT,
            )

    def statistics(self) -> LogStatistics:
        """Return a snapshot of what became of lines."""
        return self.handler.statistics()

    def levels(self) -> dict[str, SubsystemLevel]:
        """Return a snapshot of all levels, by subsystem."""
        return self._levels.statistics(self._clock())

    def changed_levels(self) -> int:
        """Return how many subsystems have a level that the config does not name."""
        return sum(each.is_changed for each in self.levels().values())

    def _apply(self) -> None:
        """Set the level of all loggers.

        None is above INFO: an event is recorded though the log does not show it.
        """
        numbers = {name: _number(self._levels.of(name)) for name in LOG_SUBSYSTEMS}
        others = _number(self._levels.of(ALL))
        self.handler.use_levels(numbers, others=others)
        least = min(others, logging.INFO)
        logging.getLogger().setLevel(least)
        for name, number in numbers.items():
            of_its_own = min(number, logging.INFO)
            logging.getLogger(f"ramster.{name}").setLevel(
                logging.NOTSET if of_its_own == least else of_its_own
            )


def _number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _described(name: str) -> str:
    return "all subsystems" if name == ALL else f"subsystem {name}"
