"""`log-level`, `log-level-set`, `log-level-reset`: wrong words change nothing."""

import pytest

from config.model import LOG_SUBSYSTEMS, LogConfig
from ramsterd.admin.log_commands import log_commands
from ramsterd.admin.socket import CommandRefused
from ramsterd.host.logs.levels import Levels
from ramsterd.host.logs.log import Log
from tests.fakes.quiet_log import QuietLog


def run(log: Log, command: str, **request: object) -> dict[str, dict[str, object]]:
    result = log_commands(log)[command]({"command": command, **request})
    assert isinstance(result, dict)
    return result


def test_every_subsystem_is_shown() -> None:
    levels = run(QuietLog(), "log-level")
    assert levels.keys() == LOG_SUBSYSTEMS
    assert levels["net"] == {
        "level": "info", "configured": "info", "is_changed": False, "seconds_left": None,
    }  # fmt: skip


def test_a_level_is_changed_and_reset() -> None:
    log = QuietLog()
    levels = run(log, "log-level-set", subsystem="net", level="debug", seconds=600)
    assert levels["net"]["level"] == "debug"
    assert levels["net"]["seconds_left"] == 600.0
    assert levels["nbd"]["level"] == "info"
    levels = run(log, "log-level-set", subsystem="all", level="error")
    assert {each["level"] for each in levels.values()} == {"error"}
    levels = run(log, "log-level-reset", subsystem="all")
    assert {each["level"] for each in levels.values()} == {"info"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"level": "debug"}, "subsystem: found None, expected all or one of certificate, commands"),
        ({"subsystem": "nets", "level": "debug"}, "subsystem: found 'nets', expected all or"),
        ({"subsystem": ["net"], "level": "debug"}, "subsystem: found"),
        ({"subsystem": "net"}, "level: found None, expected one of debug, info, warning, error"),
        ({"subsystem": "net", "level": "DEBUG"}, "level: found 'DEBUG'"),
        ({"subsystem": "net", "level": ["debug"]}, "level: found"),
        ({"subsystem": "net", "level": "debug", "seconds": 0}, "seconds: found 0, expected a num"),
        ({"subsystem": "net", "level": "debug", "seconds": True}, "seconds: found"),
        ({"subsystem": "net", "level": "debug", "seconds": "10m"}, "seconds: found '10m'"),
        ({"subsystem": "net", "level": "debug", "seconds": float("nan")}, "seconds: found"),
        ({"subsystem": "net", "level": "debug", "seconds": 1e30}, "seconds: found"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    request_: dict[str, object], message: str
) -> None:
    log = QuietLog()
    with pytest.raises(CommandRefused) as caught:
        run(log, "log-level-set", **request_)
    assert str(caught.value).startswith(message)
    assert log.changed_levels() == 0


def test_a_reset_of_an_unknown_subsystem_is_refused() -> None:
    with pytest.raises(CommandRefused, match="subsystem: found 'nets'"):
        run(QuietLog(), "log-level-reset", subsystem="nets")
    assert Levels(LogConfig()).reset("net") is False
