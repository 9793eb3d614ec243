"""Loggers and handler follow the levels; what the log does not show is made all the same."""

import logging
import os
from collections.abc import Iterator

import pytest

from config.model import LOG_SUBSYSTEMS, LogConfig, LogFormat, LogLevel
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.logs.handler import LogHandler
from ramsterd.host.logs.levels import ALL
from ramsterd.host.logs.limiter import Limiter
from ramsterd.host.logs.log import Log

WARNINGS = LogConfig(level=LogLevel.WARNING, subsystems={"net": LogLevel.DEBUG})
NET, NBD = logging.getLogger("ramster.net"), logging.getLogger("ramster.nbd")


class Bench:
    """A log that writes into a pipe; `now` is its clock."""

    def __init__(self, config: LogConfig = WARNINGS) -> None:
        self.read_end, self.write_end = os.pipe()
        self.now = 0.0
        self.handler = LogHandler(
            self.write_end, is_journal=False, clock=lambda: self.now, limiter=Limiter()
        )
        self.handler.start()
        logging.getLogger().addHandler(self.handler)
        events = EventRecorder(run="one", clock=lambda: self.now)
        self.log = Log(self.handler, config, events=events, clock=lambda: self.now)

    def texts(self) -> list[str]:
        """Return what was written, without its date, after the end."""
        self.handler.close()
        data = os.read(self.read_end, 1 << 20) if self.handler.statistics().lines_total else b""
        return [line.split(None, 2)[-1] for line in data.decode().splitlines()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    loggers = [logging.getLogger(), *(logging.getLogger(f"ramster.{x}") for x in LOG_SUBSYSTEMS)]
    levels = [each.level for each in loggers]
    made = Bench()
    yield made
    logging.getLogger().removeHandler(made.handler)
    made.handler.close()
    os.close(made.read_end)
    os.close(made.write_end)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_each_subsystem_says_what_its_level_allows(bench: Bench) -> None:
    NET.debug("a")
    NBD.info("b")
    NBD.warning("c")
    logging.getLogger("library").info("d")
    logging.getLogger("library").warning("e")
    assert bench.texts() == [
        "DEBUG   ramster.net: a", "WARNING ramster.nbd: c", "WARNING library: e",
    ]  # fmt: skip


def test_what_is_not_shown_reaches_other_handlers(bench: Bench) -> None:
    """Events are recorded whatever the log shows; debugging is not made for nobody."""
    seen: list[str] = []
    other = logging.Handler()
    other.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]  # a fake
    logging.getLogger().addHandler(other)
    try:
        NBD.info("b")
        NBD.debug("nobody")
    finally:
        logging.getLogger().removeHandler(other)
    assert seen == ["b"]
    assert bench.texts() == []


def test_an_operator_changes_a_level_for_a_while(bench: Bench) -> None:
    bench.log.change_level("nbd", LogLevel.DEBUG, seconds=600)
    assert bench.log.changed_levels() == 1
    NBD.debug("heard")
    bench.now = 599.0
    bench.log.on_time()
    NBD.debug("heard, too")
    bench.now = 600.0
    bench.log.on_time()
    NBD.debug("not heard")
    assert bench.log.changed_levels() == 0
    assert bench.texts() == ["DEBUG   ramster.nbd: heard", "DEBUG   ramster.nbd: heard, too"]


def test_who_changed_a_level_is_said_and_when_it_ends(bench: Bench) -> None:
    bench.log.follow(LogConfig())
    bench.log.change_level("nbd", LogLevel.ERROR, seconds=None)
    bench.log.change_level(ALL, LogLevel.INFO, seconds=60)
    bench.now = 60.0
    bench.log.on_time()
    assert not bench.log.reset_level("nbd")
    bench.log.change_level("nbd", LogLevel.DEBUG, seconds=None)
    assert bench.log.reset_level("nbd")
    assert bench.texts() == [
        "INFO    ramster.daemon: an operator changes the log level of subsystem nbd to error",
        "INFO    ramster.daemon: an operator changes the log level of all subsystems to info for 60 s",
        "INFO    ramster.daemon: the log level of all subsystems is info again",
        "INFO    ramster.daemon: an operator changes the log level of subsystem nbd to debug",
        "INFO    ramster.daemon: an operator resets the log level of subsystem nbd",
    ]


def test_a_reload_changes_levels_and_format(bench: Bench) -> None:
    bench.log.follow(LogConfig(level=LogLevel.ERROR, format=LogFormat.JSON))
    NET.debug("not heard")
    NBD.error("heard")
    bench.handler.stream.write("printed\n")
    bench.log.follow(LogConfig())
    NBD.info("as text")
    first, second, third = bench.texts()
    assert first.endswith('"level": "error", "subsystem": "nbd", "message": "heard"}')
    assert second.endswith('"level": "error", "subsystem": "log", "message": "printed"}')
    assert third == "INFO    ramster.nbd: as text"
