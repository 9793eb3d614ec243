"""When systemd is told that the loop runs."""

import math

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from ramsterd.host.sd_notify import Notifier
from ramsterd.host.watchdog import Watchdog

HALF = {"WATCHDOG_USEC": "10000000"}  # 10 s: half of it is 5


class CountingNotifier(Notifier):
    """Sends nothing."""

    def __init__(self) -> None:
        super().__init__({})
        self.fed_at: list[float] = []
        self.waits: list[float] = []

    def watch(self, *, seconds: float) -> bool:
        self.waits.append(seconds)
        return True

    def watchdog(self) -> bool:
        self.fed_at.append(trio.current_time())
        return True


async def test_it_is_fed_at_once_and_then_at_half_of_what_systemd_waits(
    autojump_clock: MockClock,
) -> None:
    notifier, start = CountingNotifier(), trio.current_time()
    with trio.move_on_after(11):
        await Watchdog(notifier, HALF).run()
    assert [math.ceil(at - start) for at in notifier.fed_at] == [0, 5, 10]
    assert notifier.waits == [10], "the program before may have asked for more"


def test_the_next_program_of_a_process_has_time_to_start() -> None:
    notifier = CountingNotifier()
    Watchdog(notifier, HALF).on_replacing()
    assert notifier.waits == [600]


async def test_where_systemd_has_none_nothing_runs_and_nothing_is_said(
    autojump_clock: MockClock,
) -> None:
    notifier = CountingNotifier()
    watchdog = Watchdog(notifier, {})
    watchdog.on_pause()
    watchdog.on_replacing()
    with trio.fail_after(1):
        await watchdog.run()
    assert notifier.fed_at == []
    assert notifier.waits == []


async def test_after_a_pause_it_is_fed_out_of_turn(mock_clock: MockClock) -> None:
    notifier = CountingNotifier()
    watchdog = Watchdog(notifier, HALF)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await wait_all_tasks_blocked()
        assert len(notifier.fed_at) == 1
        watchdog.on_pause()
        assert len(notifier.fed_at) == 2
        nursery.cancel_scope.cancel()
