"""Skips that nobody overlooks: the last lines name each, and under CI=true each is a failure that can be put right."""

import os
from collections.abc import Generator

import pytest

# There everything can be installed.
IN_CI = os.environ.get("CI") == "true"
UNDER_CI = "skipped under CI=true: "
# So begins the reason of a test that has run, and could not show anything: nothing that is installed changes that.
SHOWS_NOTHING = "this run shows nothing: "


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skipped(), "ramster-skipped")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Return why a test was skipped; None for one that was not."""
    if hasattr(report, "wasxfail"):
        return None
    if report.skipped:
        # Of a skip it is the file, the line, and what is to be said.
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return reason.removeprefix("Skipped: ")
    text = report.longrepr if isinstance(report.longrepr, str) else ""
    return text.removeprefix(UNDER_CI) if text.startswith(UNDER_CI) else None


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure under CI=true, unless nothing can be done about it."""
    reason = reason_of(report)
    if IN_CI and reason is not None and not reason.startswith(SHOWS_NOTHING):
        report.outcome = "failed"
        report.longrepr = f"{UNDER_CI}{reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    judge(report)
    return report


class Skipped:
    """All skips of a run.  Where tests run in workers, their reports come to the process that shows them."""

    def __init__(self) -> None:
        self._reasons: list[tuple[str, str]] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if (reason := reason_of(report)) is not None:
            self._reasons.append((report.nodeid, reason))

    # Outermost, so that these lines come after pytest's own short summary.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        yield
        if self._reasons:
            outcome = (
                "failures under CI=true, where that can be put right" if IN_CI else "not run here"
            )
            terminalreporter.section(f"{len(self._reasons)} skipped: {outcome}", sep="-")
            for nodeid, reason in self._reasons:
                terminalreporter.write_line(f"skipped {nodeid}: {reason}")
