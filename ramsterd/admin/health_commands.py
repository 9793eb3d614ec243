"""`ramsterctl health`, `health mute` and `health unmute`."""

import logging
from functools import partial

from config.durations import format_duration
from config.event_kinds import EventKind, about
from config.reader import show
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.health.codes import Code
from ramsterd.health.machine import NothingToMute
from ramsterd.health.mutes import MUTE_SECONDS_MAX
from ramsterd.observe.health_watch import HealthWatch
from ramsterd.observe.snapshot import to_plain

logger = logging.getLogger("ramster.commands")


def health_commands(watch: HealthWatch) -> dict[str, Command]:
    """Return the commands by name."""
    return {
        "health": partial(health, watch),
        "health-mute": partial(mute, watch),
        "health-unmute": partial(unmute, watch),
    }


def health(watch: HealthWatch, _: dict[str, object]) -> object:
    """Return the health of this node, with its name: that of several nodes is a list."""
    now = watch.statistics()
    plain = to_plain(now.health)
    assert isinstance(plain, dict)
    return {"node": now.node, **plain}


def mute(watch: HealthWatch, request: dict[str, object]) -> object:
    """Let the code `code` count for nothing for `seconds`, unless it gets worse.

    Raises:
        CommandRefused: There is no such code, it does not hold, or the time is none.
    """
    code, seconds = _code(request), _seconds(request)
    try:
        watch.health.mute(code, seconds, watch.now())
    except NothingToMute as error:
        raise CommandRefused(str(error)) from None
    logger.info(
        "an operator mutes %s for %s",
        code.value,
        format_duration(seconds),
        extra=about(EventKind.HEALTH_MUTED, code=code.value, seconds=seconds),
    )
    return {"code": code.value, "muted_seconds": seconds}


def unmute(watch: HealthWatch, request: dict[str, object]) -> object:
    """Let the code `code` count again.

    Raises:
        CommandRefused: There is no such code, or it is not muted.
    """
    code = _code(request)
    try:
        watch.health.unmute(code)
    except NothingToMute as error:
        raise CommandRefused(str(error)) from None
    logger.info(
        "an operator unmutes %s",
        code.value,
        extra=about(EventKind.HEALTH_MUTED, code=code.value, seconds=0),
    )
    return {"code": code.value, "muted_seconds": 0}


def _code(request: dict[str, object]) -> Code:
    found = request.get("code")
    if not isinstance(found, str) or found not in Code.__members__:
        raise CommandRefused(
            f"code: found {show(found)}, expected one of: {', '.join(Code.__members__)}"
        )
    return Code[found]


def _seconds(request: dict[str, object]) -> float:
    found = request.get("seconds")
    if (
        isinstance(found, int | float)
        and not isinstance(found, bool)
        and 0 < found <= MUTE_SECONDS_MAX
    ):
        return found
    longest = format_duration(MUTE_SECONDS_MAX)
    raise CommandRefused(
        f"seconds: found {show(found)}, expected a time of more than 0 s and {longest} at most"
    )
