"""What is sent moves the timer of a link, and its task sleeps on."""

import trio
import trio.testing

from net.link_timer import LinkTimer


async def test_it_ends_at_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    await LinkTimer().sleep(began_at + 2.0)
    assert trio.current_time() == began_at + 2.0


async def test_it_is_moved_without_a_wake_up_and_not_by_all_that_is_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timer, began_at = LinkTimer(), trio.current_time()
    assert not timer.is_to_be_postponed(began_at), "nobody sleeps"

    async def send() -> None:
        moved = []
        for tenth in range(1, 31):
            now = began_at + tenth / 10
            await trio.sleep(now - trio.current_time())
            if timer.is_to_be_postponed(now):
                timer.postpone(now + 2.0, now)
                moved.append(tenth)
        assert moved == [10, 20, 30]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await timer.sleep(began_at + 2.0)
    assert round(trio.current_time() - began_at, 6) == 5.0


async def test_what_is_due_earlier_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    timer, began_at = LinkTimer(), trio.current_time()
    timer.end()  # nobody sleeps

    async def end() -> None:
        await trio.sleep(0.5)
        timer.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        await timer.sleep(began_at + 2.0)
    assert trio.current_time() == began_at + 0.5
