"""Long tests, which are not part of `make test`: they are left out unless `--long` is given."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ramster").addoption(
        "--long", action="store_true", help="run the tests marked long, too"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
