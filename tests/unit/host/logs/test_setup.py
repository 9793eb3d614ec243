import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from config.model import LOG_SUBSYSTEMS, LogConfig, LogLevel
from ramsterd.host.logs.setup import set_up_logging

LEVELS = LogConfig(level=LogLevel.WARNING, subsystems={"nodes": LogLevel.DEBUG})


@contextmanager
def bare_root() -> Iterator[None]:
    """Take the handlers of the root logger away, and put all back afterwards."""
    root = logging.getLogger()
    handlers, level, streams = root.handlers[:], root.level, (sys.stdout, sys.stderr)
    root.handlers.clear()
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.stdout, sys.stderr = streams
        for name in LOG_SUBSYSTEMS:
            logging.getLogger(f"ramster.{name}").setLevel(logging.NOTSET)


def test_subsystem_says_more_than_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging(LEVELS, environ={})
        logging.getLogger("ramster.nodes").debug("heard")
        logging.getLogger("ramster.other").info("not heard")
        logging.getLogger("ramster.other").warning("heard too")
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(None, 2)[2] for line in lines] == [
        "DEBUG   ramster.nodes: heard",
        "WARNING ramster.other: heard too",
    ]


def test_levels_may_be_set_again(capfd: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging(LEVELS, environ={}).follow(LogConfig(level=LogLevel.INFO))
        logging.getLogger("ramster.nodes").debug("not heard any more")
        logging.getLogger("ramster.other").info("heard now")
    [line] = capfd.readouterr().err.splitlines()
    assert line.endswith("ramster.other: heard now")


def test_what_python_prints_goes_the_same_way(capfd: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        log = set_up_logging(LEVELS, environ={})
        print("Exception ignored in: something", file=sys.stderr)
        print("printed")
        assert log.statistics().lines_total == 2
    assert capfd.readouterr().err == "Exception ignored in: something\nprinted\n"


def test_the_journal_is_known_by_its_stream(capfd: pytest.CaptureFixture[str]) -> None:
    status = os.fstat(2)
    with bare_root():
        set_up_logging(LEVELS, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        logging.getLogger("ramster.other").warning("heard")
    assert capfd.readouterr().err == "<4>ramster.other: heard\n"
