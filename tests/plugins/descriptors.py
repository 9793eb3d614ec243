"""Files of stores that wait for the collector are closed before they are many: `select` takes numbers below 1024 only."""

import gc
import os
from typing import Final

import pytest

OPEN_MAX: Final = 256


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    """Collect when a new file gets a high number: all below are taken."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    if number > OPEN_MAX:
        gc.collect()
