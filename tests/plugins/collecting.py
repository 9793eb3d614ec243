"""A parallel run collects in less time: each worker begins at another place of each folder.

All workers collect all tests.  Where nothing is kept from an earlier run, the first to come to a file rewrites its asserts and
compiles it, which is most of the work; the others find it done, instead of doing the same file at the same time.
The order of the tests is not touched: `order` sorts them.
"""

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Rotate what a folder has by the share of the run that its worker is."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker and isinstance(collector, pytest.Directory) and report.passed:
        number = int(worker["workerid"].removeprefix("gw"))
        first = len(report.result) * number // worker["workercount"]
        report.result = report.result[first:] + report.result[:first]
    return report
