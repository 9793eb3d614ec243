"""The swarm, and that a seed is a run."""

import pytest
import trio
from trio.testing import MockClock

from tests.simulation.storm import storm


@pytest.mark.slow
async def test_storm(seed: int, mock_clock: MockClock) -> None:
    """Random operations and faults: right pages, no resurrection, books that balance, and life afterwards."""
    storm(seed, mock_clock, steps=1000)


def trace_of(seed: int) -> list[str]:
    clock = MockClock()

    async def run() -> list[str]:
        return storm(seed, clock, steps=250).trace

    return trio.run(run, clock=clock)


@pytest.mark.slow
def test_a_seed_is_a_run(seed: int) -> None:
    """The same seed twice gives the same trace, event by event; another seed gives another."""
    trace = trace_of(seed)
    assert trace == trace_of(seed)
    assert trace != trace_of(seed + 1)
