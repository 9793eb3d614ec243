import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from config.model import LogConfig, LogLevel
from ramsterd.logs import set_up_logging


@contextmanager
def bare_root() -> Iterator[None]:
    """Take the handlers of the root logger away, and put all back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("ramster.testing").setLevel(logging.NOTSET)


def test_subsystem_says_more_than_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    config = LogConfig(level=LogLevel.WARNING, subsystems={"testing": LogLevel.DEBUG})
    with bare_root():
        set_up_logging(config)
        logging.getLogger("ramster.testing").debug("heard")
        logging.getLogger("ramster.other").info("not heard")
        logging.getLogger("ramster.other").warning("heard too")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(None, 2)[2] for line in lines] == [
        "DEBUG   ramster.testing: heard",
        "WARNING ramster.other: heard too",
    ]
