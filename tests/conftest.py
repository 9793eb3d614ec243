"""Seeds for every test that takes one, and skips that nobody overlooks."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Each seed of the simulation costs half a minute; `make simulate` spends many more on storms.
SEEDS_DEFAULT = 3
# `make test-guest` and `make soak`: minutes each.
ONLY_BY_NAME = {Path(__file__).parent / name for name in ("guest", "soak")}
# `ip` and others live where only root's path leads; tests find them by name.
SYSTEM_PATH = "/usr/sbin:/sbin"
IN_CI = os.environ.get("CI") == "true"

# Properties are of what happens, not of how long it takes: machines are slow when they are busy.
settings.register_profile("ramster", deadline=None)
settings.load_profile("ramster")

skipped_key = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ramster")
    group.addoption("--seed", type=int, help="replay every seeded test with this one seed")
    group.addoption(
        "--seeds",
        type=int,
        default=SEEDS_DEFAULT,
        help=f"how many seeds to try, from 0 (default {SEEDS_DEFAULT})",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[skipped_key] = []
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folders with a make target of their own, unless they are asked for by name."""
    if collection_path not in ONLY_BY_NAME:
        return None
    asked = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `seed` once for each seed; the test's id carries it."""
    if "seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--seed")
    seeds = range(metafunc.config.getoption("--seeds")) if one is None else [one]
    metafunc.parametrize("seed", seeds, ids=lambda seed: f"seed={seed}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A skip's longrepr is (file, line, "Skipped: REASON").
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _judge_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    """Note a skip for the summary; under CI=true it is a failure, for there everything can be installed."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    config.stash[skipped_key].append((report.nodeid, reason))
    if IN_CI:
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge_skip(report, collector.config)
    return report


# Outermost, so that these lines come after pytest's own short summary.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    yield
    skipped = config.stash[skipped_key]
    if skipped:
        outcome = "failed because CI=true" if IN_CI else "not run here"
        terminalreporter.section(f"{len(skipped)} skipped: {outcome}", sep="-")
        for nodeid, reason in skipped:
            terminalreporter.write_line(f"skipped {nodeid}: {reason}")
