"""Slow tests say so: `-m "not slow"` is the quick set, and `--check-slow` finds who is in it by mistake."""

import functools
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

# Of real time, on a machine that does nothing else.  Where others have their turn too, the time of our processor says what
# that would be; but not of a test that waits, so that may be a part of the real time at least.
QUICK_SECONDS_MAX: Final = 0.25
WAITING_DIVISOR: Final = 4
# A machine on which others run makes every test up to twice as slow, by the time of our processor too.  So a test that is
# found is slow, whatever else was going on; one in between may be.
FOUND_SECONDS_MIN: Final = 2 * QUICK_SECONDS_MAX
# How a report says how long it had the processor, also from a worker.
PROCESSOR: Final = "processor_seconds"

TESTS: Final = Path(__file__).parents[1]
# Real daemons, whole clusters, examples by the hundred, and whole trees that are read: what is there is slow as a whole.
SLOW_FOLDERS: Final = tuple(
    TESTS / name
    for name in ("guest", "properties", "repository", "selftest", "simulation", "soak", "system")
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ramster").addoption(
        "--check-slow",
        action="store_true",
        help=f"fail if a test takes over {FOUND_SECONDS_MIN:g} s and does not carry the marker slow",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--check-slow"):
        config.pluginmanager.register(SlowCheck(), "ramster-slow-check")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_in_slow_folder(item.path):
            item.add_marker(pytest.mark.slow)


# A file has tests by the dozen, and paths are slow to compare.
@functools.cache
def is_in_slow_folder(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in SLOW_FOLDERS)


class SlowCheck:
    """How long each test took that is not marked."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._begun_at = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        self._begun_at = time.process_time()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note for how long this part of a test had the processor."""
        report, now = (yield), time.process_time()
        report.user_properties.append((PROCESSOR, now - self._begun_at))
        self._begun_at = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "slow" in report.keywords:
            return
        (processor,) = (value for key, value in report.user_properties if key == PROCESSOR)
        assert isinstance(processor, float)
        waited = report.duration / WAITING_DIVISOR
        self._seconds[report.nodeid] += min(report.duration, max(processor, waited))

    @property
    def found(self) -> list[tuple[str, float]]:
        """The tests that should be marked, slowest first."""
        slow = [each for each in self._seconds.items() if each[1] > FOUND_SECONDS_MIN]
        return sorted(slow, key=lambda each: -each[1])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section(f"over {FOUND_SECONDS_MIN:g} s and not marked slow", sep="-")
        for nodeid, seconds in self.found:
            terminalreporter.write_line(f"{seconds:6.2f} s  {nodeid}")
