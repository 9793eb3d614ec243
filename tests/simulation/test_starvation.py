"""A node paused by the schedule of a real starved one (benchmarks/starvation.json), over some seeds."""

from pathlib import Path

import pytest

from benchmarks import starvation
from benchmarks.starvation import NODES, STARVED, Row, Schedule, replay, run_simulated
from benchmarks.verdicts import tally
from heartbeat.knobs import PLAIN_SWIM

SCHEDULE = Schedule.load(Path(starvation.__file__).with_suffix(".json"))
SEEDS = 6


@pytest.fixture(scope="module")
def with_lifeguard() -> Row:
    return run_simulated("with", SCHEDULE, knobs=None, has_links=True, seeds=SEEDS)


@pytest.fixture(scope="module")
def without() -> Row:
    return run_simulated("without", SCHEDULE, knobs=PLAIN_SWIM, has_links=True, seeds=SEEDS)


def test_the_schedule_is_a_minute_of_next_to_nothing() -> None:
    waited = sum(wait.end - wait.begin for wait in SCHEDULE.waits)
    ran = sum(wait.ran_seconds for wait in SCHEDULE.waits)
    assert waited > 50
    assert ran < 0.1
    assert max(wait.end - wait.begin for wait in SCHEDULE.waits) > 5


def test_every_down_of_the_starved_node_is_taken_back(with_lifeguard: Row) -> None:
    assert with_lifeguard.starved.downs == with_lifeguard.starved.refuted > 0


def test_no_healthy_node_is_even_suspected(with_lifeguard: Row) -> None:
    assert (with_lifeguard.healthy.suspects, with_lifeguard.healthy.downs) == (0, 0)


def test_without_lifeguard_there_are_about_as_many_wrong_downs(
    with_lifeguard: Row, without: Row
) -> None:
    """654 with it and 631 without it over 120 seeds; over six seeds chance moves each by a third."""
    assert without.starved.downs >= with_lifeguard.starved.downs / 2
    assert without.starved.downs == without.starved.refuted


def test_what_comes_over_links_shortens_wrong_downs(with_lifeguard: Row) -> None:
    alone = run_simulated("alone", SCHEDULE, knobs=None, has_links=False, seeds=SEEDS)
    assert with_lifeguard.starved.down_seconds < alone.starved.down_seconds / 5


def test_one_seed_is_one_run() -> None:
    first, second = (replay(SCHEDULE, 3, knobs=None, has_links=True) for _ in range(2))
    assert first == second
    beliefs, end = first
    assert tally(beliefs, lambda belief: belief.judge == STARVED - 1, end=end).downs == 0
    assert {belief.node for belief in beliefs} <= set(range(NODES))
