"""Texts that a passed test shows behind the run, also one of a worker: tables of what took how long."""

from collections.abc import Callable
from typing import Final

import pytest

# How a report carries one.
SHOWN: Final = "shown"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Shown(), "ramster-shown")


def show(record_property: Callable[[str, object], None], text: str) -> None:
    """Have the run end with a text; the first argument is pytest's fixture."""
    record_property(SHOWN, text)


class Shown:
    """Those of a run."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, text in report.user_properties:
                if name == SHOWN:
                    self._texts.append((report.nodeid, str(text)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid, text in self._texts:
            terminalreporter.section(nodeid, sep="-")
            terminalreporter.write_line(text)
