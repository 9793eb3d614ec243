"""Seeds: a test that takes `seed` runs once for each.

`make test ARGS='tests/simulation --seeds 20'` is the long form: all of them with 20 seeds, the costly ones, too.
"""

import pytest

# `make simulate` spends many more on storms.
SEEDS_DEFAULT = 2
# Of tests marked `costly`, which take over half a second a seed.
SEEDS_COSTLY = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ramster")
    group.addoption("--seed", type=int, help="replay every seeded test with this one seed")
    group.addoption(
        "--seeds",
        type=int,
        help=f"how many seeds to try, from 0 (default {SEEDS_DEFAULT}, {SEEDS_COSTLY} of costly tests)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `seed` once for each seed; the test's id carries it."""
    if "seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--seed")
    seeds = range(_count(metafunc)) if one is None else [one]
    metafunc.parametrize("seed", seeds, ids=lambda seed: f"seed={seed}")


def _count(metafunc: pytest.Metafunc) -> int:
    asked: int | None = metafunc.config.getoption("--seeds")
    if asked is not None:
        return asked
    return SEEDS_COSTLY if metafunc.definition.get_closest_marker("costly") else SEEDS_DEFAULT
