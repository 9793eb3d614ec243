"""How long guests waited for a page of their swap: one table behind a run, a line for each fault that they swapped through.

`--judge-stalls` makes a stall over its bar a failure.  The bar is for the fault: what a page takes before the fault, on a
machine that others may use too, comes on top.  Without the option the table only says it: no run among others is judged by
its clock.
"""

from collections.abc import Callable, Generator
from typing import Final, NamedTuple

import pytest

# How a report carries a line.
STALL: Final = "stall"


class Row(NamedTuple):
    """A line; a report of a worker has it as a list, for it carries no types of ours."""

    fault: str
    copies: int
    way: str
    before_milliseconds: int
    slowest_milliseconds: int
    phase: str
    bar_milliseconds: int | None

    @property
    def is_over(self) -> bool:
        if self.bar_milliseconds is None:
            return False
        return self.slowest_milliseconds > self.bar_milliseconds + self.before_milliseconds

    def __str__(self) -> str:
        bar = "" if self.bar_milliseconds is None else f"{self.bar_milliseconds:,}"
        over = "  OVER" if self.is_over else ""
        return (
            f"{self.fault:28}{self.copies:>6}  {self.way:8}{self.before_milliseconds:>10,}"
            f"{self.slowest_milliseconds:>10,}{bar:>8}  {self.phase}{over}"
        )


HEAD: Final = (
    f"{'fault':28}{'copies':>6}  {'way':8}{'before ms':>10}{'from it ms':>10}{'bar ms':>8}  phase"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ramster").addoption(
        "--judge-stalls", action="store_true", help="fail if a guest waits longer than its bar"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Stalls(), "ramster-stalls")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.passed and item.config.getoption("--judge-stalls"):
        for row in rows(report):
            if row.is_over:
                report.outcome = "failed"
                report.longrepr = f"a guest waits longer than its bar\n{HEAD}\n{row}"
    return report


def record(record_property: Callable[[str, object], None], row: Row) -> None:
    """Have the table show a line; the first argument is pytest's fixture."""
    record_property(STALL, list(row))


def rows(report: pytest.TestReport) -> list[Row]:
    return [Row(*value) for name, value in report.user_properties if name == STALL]  # type: ignore[misc]  # as recorded


class Stalls:
    """Those of a run, in whatever process."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._rows += rows(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._rows:
            terminalreporter.section("the slowest page of each guest", sep="-")
            terminalreporter.write_line(HEAD)
            for row in sorted(
                self._rows, key=lambda row: (row.way, -row.copies, row.fault, row[3:5])
            ):
                terminalreporter.write_line(str(row))
