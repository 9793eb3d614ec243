"""Seeds: a test that takes `seed` runs once for each.

`make test ARGS='tests/simulation --seeds 20'` is the long form.
"""

import pytest

# The suite is run at each change; `make simulate` spends many more, on storms.
SEEDS_DEFAULT = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ramster")
    group.addoption("--seed", type=int, help="replay every seeded test with this one seed")
    group.addoption(
        "--seeds",
        type=int,
        default=SEEDS_DEFAULT,
        help="how many seeds to try, from 0 (default %(default)s)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `seed` once for each seed; the test's id carries it."""
    if "seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--seed")
    seeds = range(metafunc.config.getoption("--seeds")) if one is None else [one]
    metafunc.parametrize("seed", seeds, ids=lambda seed: f"seed={seed}")
