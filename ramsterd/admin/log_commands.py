"""`ramsterctl log-level` and `ramsterctl events`: which subsystem logs how much, and what happened."""

from functools import partial

from config.durations import DURATION_SECONDS_MAX
from config.model import LOG_SUBSYSTEMS, LogLevel
from config.reader import show
from ramsterd.admin.event_commands import events
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.host.logs.levels import ALL
from ramsterd.host.logs.log import Log
from ramsterd.observe.snapshot import to_plain


def log_commands(log: Log) -> dict[str, Command]:
    """Return the commands by name."""
    return {
        "log-level": lambda _: to_plain(log.levels()),
        "log-level-set": partial(set_level, log),
        "log-level-reset": partial(reset_level, log),
        "events": partial(events, log.events),
    }


def set_level(log: Log, request: dict[str, object]) -> object:
    """Use `level` for `subsystem`, or for all: for `seconds`, or until a restart without them.

    Raises:
        CommandRefused: One of them is wrong; nothing has changed.
    """
    name = _subsystem(request)
    levels = [level.value for level in LogLevel]
    level = request.get("level")
    if level not in levels:
        raise CommandRefused(f"level: found {show(level)}, expected one of {', '.join(levels)}")
    log.change_level(name, LogLevel(level), seconds=_seconds(request))
    return to_plain(log.levels())


def reset_level(log: Log, request: dict[str, object]) -> object:
    """Use the level of ramsterd.toml again for `subsystem`, or for all.

    Raises:
        CommandRefused: There is no such subsystem.
    """
    log.reset_level(_subsystem(request))
    return to_plain(log.levels())


def _seconds(request: dict[str, object]) -> float | None:
    seconds = request.get("seconds")
    if seconds is None:
        return None
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or not 0 < seconds <= DURATION_SECONDS_MAX
    ):
        raise CommandRefused(
            f"seconds: found {show(seconds)}, expected a number over 0, up to {DURATION_SECONDS_MAX}"
        )
    return float(seconds)


def _subsystem(request: dict[str, object]) -> str:
    name = request.get("subsystem")
    if not isinstance(name, str) or (name != ALL and name not in LOG_SUBSYSTEMS):
        known = ", ".join(sorted(LOG_SUBSYSTEMS))
        raise CommandRefused(f"subsystem: found {show(name)}, expected {ALL} or one of {known}")
    return name
