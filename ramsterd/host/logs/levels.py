"""Which lines each subsystem logs: as the config says, or as an operator said for a while.  Pure.

An operator's level counts more than the config, also after a reload.  It ends at its time, with a
reset, or with the daemon.  `now` is monotonic seconds.
"""

import math
from dataclasses import dataclass
from typing import Final

from config.model import LOG_SUBSYSTEMS, LogConfig, LogLevel

# In place of a subsystem: every one of them, and libraries.
ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsystemLevel:
    """The level of one subsystem, and whose it is."""

    level: LogLevel
    # What the config says.
    configured: LogLevel
    is_changed: bool
    # Until the level of the config counts again; None: until a reset or a restart.
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class _Change:
    level: LogLevel
    until: float


class Levels:
    """The levels of all subsystems."""

    def __init__(self, config: LogConfig) -> None:
        self._config = config
        self._changes: dict[str, _Change] = {}

    def follow(self, config: LogConfig) -> None:
        """The file was read again."""
        self._config = config

    def change(self, name: str, level: LogLevel, *, until: float = math.inf) -> None:
        """Use a level for a subsystem, or for `ALL`: one that was set before ends."""
        if name == ALL:
            self._changes.clear()
        self._changes[name] = _Change(level, until)

    def reset(self, name: str) -> bool:
        """Use the level of the config again, for a subsystem or for `ALL`.

        Return whether another one was in use.  A subsystem alone can't leave a level that was set
        for all: it gets the level of the config as one of its own.
        """
        if name == ALL:
            was_changed = bool(self._changes)
            self._changes.clear()
            return was_changed
        was_changed = self._changes.pop(name, None) is not None
        if (everyone := self._changes.get(ALL)) is not None:
            self._changes[name] = _Change(self._configured(name), everyone.until)
            return True
        return was_changed

    def on_deadline(self, now: float) -> tuple[str, ...]:
        """End what is over; return of which subsystems, or `ALL`."""
        ended = tuple(name for name, change in self._changes.items() if now >= change.until)
        for name in ended:
            del self._changes[name]
        return ended

    def of(self, name: str) -> LogLevel:
        """Return the level of a subsystem; of `ALL`, that of what is none, such as libraries."""
        change = self._changes.get(name) or self._changes.get(ALL)
        return self._configured(name) if change is None else change.level

    def statistics(self, now: float) -> dict[str, SubsystemLevel]:
        """Return a snapshot by subsystem."""
        return {name: self._snapshot(name, now) for name in sorted(LOG_SUBSYSTEMS)}

    def _snapshot(self, name: str, now: float) -> SubsystemLevel:
        change = self._changes.get(name) or self._changes.get(ALL)
        is_endless = change is None or math.isinf(change.until)
        return SubsystemLevel(
            level=self.of(name),
            configured=self._configured(name),
            is_changed=change is not None,
            seconds_left=None if change is None or is_endless else max(0.0, change.until - now),
        )

    def _configured(self, name: str) -> LogLevel:
        return self._config.subsystems.get(name, self._config.level)
