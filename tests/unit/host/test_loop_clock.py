"""Real loops with a clock in the hands of the test; nothing sleeps for longer than a poll."""

import math
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.lowlevel
import trio.testing

from ramsterd.host.loop_clock import (
    LoopClock,
    LoopTimer,
    pause_statistics,
    sleep_to_turn,
    sleep_until_pause,
    watch_pauses,
    world_time,
)
from ramsterd.host.loop_time import PAUSE_SECONDS_MIN, SLEEP_SECONDS_MAX, STILL_SECONDS_MAX
from ramsterd.host.slack import Turn, slack_of


class World:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def run(story: Callable[[World], Awaitable[None]]) -> None:
    world = World()
    trio.run(story, world, clock=LoopClock(world))


def test_an_answer_that_came_during_a_pause_is_read_before_the_deadline_ends() -> None:
    async def story(world: World) -> None:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            heard: list[bytes] = []

            async def wait() -> None:
                with trio.move_on_after(0.01):
                    await trio.lowlevel.wait_readable(near)
                    heard.append(near.recv(10))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                far.send(b"answer")
                world.seconds += 6.0
            assert heard == [b"answer"]
            assert pause_statistics().pauses_total == 1
            assert pause_statistics().paused_seconds_total == 6.0

    run(story)


def test_waiting_goes_on_after_a_pause_for_as_long_as_was_left() -> None:
    async def story(world: World) -> None:
        with trio.CancelScope(deadline=trio.current_time() + 1.0) as scope:
            began_at = trio.current_time()
            world.seconds += 60.0
            await trio.lowlevel.checkpoint()
            assert trio.current_time() == began_at
            assert not scope.cancel_called
            await trio.lowlevel.checkpoint()
            assert world_time() == 1060.0

    run(story)


def test_a_pause_is_said_once_with_its_length(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        told: list[None] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_pauses, lambda: told.append(None))
            await trio.lowlevel.checkpoint()
            world.seconds += 6.0
            for _ in range(60):
                # Each round of the loop is a poll that ends at once.
                await trio.lowlevel.checkpoint()
                world.seconds += 0.1
            nursery.cancel_scope.cancel()
        assert told == [None]

    run(story)
    [record] = caplog.records
    assert record.getMessage().startswith(
        "the system did not run ramsterd for 6.0 s: it was stopped, suspended, or"
    )


def test_who_sleeps_until_a_pause_wakes_after_it_though_no_time_has_passed() -> None:
    async def story(world: World) -> None:
        woken = trio.Event()

        async def look() -> None:
            await sleep_until_pause(100.0)
            woken.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await trio.lowlevel.checkpoint()
            began_at = trio.current_time()
            world.seconds += 6.0
            await woken.wait()
            assert trio.current_time() == began_at

    run(story)


def test_who_waits_for_a_pause_runs_before_a_loop_that_hears_of_it_going_to_sleep() -> None:
    """Else it would be runnable in a loop that sleeps."""
    world, woken = World(), list[None]()
    clock = LoopClock(world)
    clock.slack.add(Turn(math.inf, math.inf, lambda: woken.append(None)))
    world.seconds += 6.0
    clock.current_time()
    # It was busy all the time, and time stands still.
    for _ in range(math.ceil(STILL_SECONDS_MAX / PAUSE_SECONDS_MIN) - 1):
        world.seconds += PAUSE_SECONDS_MIN
        clock.current_time()
    assert not woken
    world.seconds += PAUSE_SECONDS_MIN
    assert clock.deadline_to_sleep_time(math.inf) == 0
    assert woken == [None]
    assert clock.deadline_to_sleep_time(math.inf) > 0


async def test_without_a_pause_it_is_a_sleep(autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    await sleep_until_pause(100.0)
    assert trio.current_time() == began_at + 100.0


async def test_another_clock_knows_no_pauses(autojump_clock: trio.testing.MockClock) -> None:
    await trio.sleep(10)
    assert world_time() == trio.current_time()
    assert pause_statistics().pauses_total == 0


def test_looks_whose_times_are_multiples_of_each_other_come_in_one_round() -> None:
    world = World()
    looks: dict[float, list[float]] = {0.5: [], 2.0: []}

    async def look(seconds: float) -> None:
        while True:
            await sleep_to_turn(seconds)
            looks[seconds].append(world.seconds)

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            # They begin at different times.
            nursery.start_soon(look, 2.0)
            world.seconds += 0.3
            nursery.start_soon(look, 0.5)
            while world.seconds < 1008.1:
                await trio.testing.wait_all_tasks_blocked()
                world.seconds += 0.01
            nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(world))
    assert len(looks[2.0]) == 4
    assert len(looks[0.5]) == 16
    assert set(looks[2.0]) <= set(looks[0.5])
    for seconds, times in looks.items():
        assert all((at - 1000.0) % seconds < 0.02 for at in times)


def woken_at(wakes: tuple[float, ...]) -> float:
    """Return when a look that is due at 2.0 wakes, if the loop wakes up at these times for other reasons."""
    world = World()
    looked: list[float] = []

    async def look() -> None:
        await sleep_to_turn(2.0)
        looked.append(round(world.seconds - 1000.0, 3))

    async def story() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                await trio.testing.wait_all_tasks_blocked()
                for at in wakes:
                    world.seconds = 1000.0 + at
                    far.send(b"!")
                    await trio.lowlevel.wait_readable(near)
                    near.recv(1)
                    await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(world))
    return looked[0]


def test_a_look_that_is_due_is_done_in_a_wake_up_that_comes_anyway() -> None:
    assert woken_at((0.4, 0.8, 1.2, 1.6, 1.9, 2.2, 2.6)) == 2.2


def test_a_loop_that_sleeps_looks_no_later_than_its_slack() -> None:
    async def story(_: World) -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, LoopClock)
        began_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep_to_turn, 2.0)
            await trio.testing.wait_all_tasks_blocked()
            assert clock.slack.until == pytest.approx(began_at + 2.0 + slack_of(2.0))
            assert clock.deadline_to_sleep_time(math.inf) == SLEEP_SECONDS_MAX
            nursery.start_soon(sleep_until_pause, 0.25)
            await trio.testing.wait_all_tasks_blocked()
            assert clock.deadline_to_sleep_time(math.inf) == pytest.approx(0.25)
            assert clock.deadline_to_sleep_time(began_at + 0.1) == pytest.approx(0.1)
            nursery.cancel_scope.cancel()

    run(story)


def test_a_timer_that_is_hastened_ends_its_sleep_then() -> None:
    async def story(world: World) -> None:
        timer, woken = LoopTimer(), trio.Event()

        async def sleep() -> None:
            await timer.sleep(trio.current_time() + 50.0, trio.current_time() + 90.0)
            woken.set()

        timer.hasten(trio.current_time())  # nobody sleeps by it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep)
            await trio.testing.wait_all_tasks_blocked()
            timer.hasten(trio.current_time() + 0.2)
            timer.hasten(trio.current_time() + 60.0)
            await trio.lowlevel.checkpoint()
            assert not woken.is_set()
            world.seconds += 0.3
            await woken.wait()
            timer.hasten(trio.current_time() - 1.0)

    run(story)


def test_a_sleep_that_is_cancelled_is_not_woken_later() -> None:
    async def story(world: World) -> None:
        clock = trio.lowlevel.current_clock()
        with trio.move_on_after(0.1) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sleep_until_pause, 5.0)
                await trio.lowlevel.checkpoint()
                world.seconds += 0.2
        assert scope.cancelled_caught
        assert isinstance(clock, LoopClock)
        assert clock.slack.until == math.inf
        world.seconds += 0.4
        await trio.lowlevel.checkpoint()

    run(story)


async def test_another_clock_has_no_slack(autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    timer = LoopTimer()
    await timer.sleep(began_at + 2.0, began_at + 9.0)
    assert trio.current_time() == began_at + 2.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timer.sleep, began_at + 12.0, began_at + 19.0)
        await trio.testing.wait_all_tasks_blocked()
        timer.hasten(began_at + 5.0)
        timer.hasten(began_at + 8.0)
    assert trio.current_time() == began_at + 5.0


async def test_a_turn_that_ends_just_now_is_not_taken_twice(
    mock_clock: trio.testing.MockClock,
) -> None:
    mock_clock.autojump_threshold = 0
    await trio.sleep(1.999)
    began = trio.current_time()
    await sleep_to_turn(2.0)
    assert trio.current_time() == began + 0.001 + 2.0
