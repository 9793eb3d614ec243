import random

from ramsterd.host.loop_time import (
    PAUSE_SECONDS_MIN,
    SLEEP_SECONDS_MAX,
    STILL_SECONDS_MAX,
    LoopTime,
    PauseStatistics,
)

INF = float("inf")


def test_time_goes_on_while_the_loop_runs_and_sleeps() -> None:
    loop = LoopTime(100.0)
    assert loop.read(100.4) == 100.4
    assert loop.sleep_seconds(100.4, 100.6) == 100.6 - 100.4
    assert loop.read(100.6) == 100.6
    assert loop.sleep_seconds(100.6, INF) == SLEEP_SECONDS_MAX
    assert loop.read(100.6 + SLEEP_SECONDS_MAX + PAUSE_SECONDS_MIN) > 101
    assert loop.statistics() == PauseStatistics(pauses_total=0, paused_seconds_total=0.0)


def test_a_deadline_that_has_passed_is_no_sleep() -> None:
    assert LoopTime(100.0).sleep_seconds(100.0, 99.0) == 0.0


def test_a_pause_in_a_sleep_does_not_count() -> None:
    """The deadline of a wait is as far away after it as it was before."""
    loop = LoopTime(100.0)
    assert loop.sleep_seconds(100.0, 100.2) == 100.2 - 100.0
    assert loop.read(106.2) == 100.0
    assert loop.statistics() == PauseStatistics(pauses_total=1, paused_seconds_total=6.0)


def test_a_pause_between_two_steps_of_a_task_does_not_count() -> None:
    loop = LoopTime(100.0)
    assert loop.read(100.1) == 100.1
    assert loop.read(107.1) == 100.1
    assert loop.statistics().pauses_total == 1


def test_time_stands_still_until_the_loop_has_polled_and_has_nothing_left_to_do() -> None:
    loop = LoopTime(100.0)
    loop.sleep_seconds(100.0, 100.2)
    assert loop.read(106.0) == 100.0
    # The poll that a SIGSTOP interrupted brought nothing, whatever is there: poll again, and do not sleep.
    assert loop.sleep_seconds(106.0, 100.001) == 0.0
    # It brought something, which is handled for a while.
    assert loop.read(106.1) == 100.0
    assert loop.read(106.4) == 100.0
    # Now nothing is left.
    assert loop.sleep_seconds(106.4, 100.001) > 0.0
    assert round(loop.read(106.5), 6) == 100.1


def test_time_goes_on_though_the_loop_is_always_busy() -> None:
    loop = LoopTime(100.0)
    loop.sleep_seconds(100.0, INF)
    loop.read(110.0)
    world = 110.0
    while world < 110.0 + STILL_SECONDS_MAX:
        assert loop.read(world) == 100.0
        world += 0.1
    loop.read(world)
    assert loop.read(world + 0.1) > 100.0


def test_a_second_pause_while_time_stands_still_is_one_more() -> None:
    loop = LoopTime(100.0)
    loop.sleep_seconds(100.0, INF)
    loop.read(106.0)
    assert loop.read(112.0) == 100.0
    assert loop.statistics().pauses_total == 2
    assert loop.sleep_seconds(112.0, INF) == 0.0
    assert loop.sleep_seconds(112.0, INF) == SLEEP_SECONDS_MAX
    assert round(loop.read(112.1), 6) == 100.1


def test_a_sleep_that_ends_early_leaves_no_credit() -> None:
    """Something came at once; what follows is a pause as any other."""
    loop = LoopTime(100.0)
    loop.sleep_seconds(100.0, INF)
    assert loop.read(100.01) == 100.01
    assert loop.read(100.01 + PAUSE_SECONDS_MIN + 0.01) == 100.01


def test_time_never_goes_back_and_is_never_ahead_of_the_world(seed: int) -> None:
    rng = random.Random(seed)
    world = before = 1000.0
    loop = LoopTime(world)
    for _ in range(3000):
        world += rng.choice([0.0, 1e-9, 0.001, 0.2, PAUSE_SECONDS_MIN, 3.0])
        if rng.random() < 0.3:
            assert 0.0 <= loop.sleep_seconds(world, world + rng.uniform(-1, 1)) <= SLEEP_SECONDS_MAX
        now = loop.read(world)
        assert before <= now <= world
        before = now
