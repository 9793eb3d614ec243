import random
from functools import partial

import pytest
import trio
import trio.testing

from config.lookup import NameNotFound
from net.backoff import RECONNECT_SECONDS_FIRST, RECONNECT_SECONDS_MAX, Backoff
from net.dialer import (
    DIAL_SECONDS_MAX,
    STAYED_SECONDS_MIN,
    Dialled,
    Over,
    RedialTimer,
    dial_forever,
    dial_once,
    is_dialer,
)
from net.transport import Stream
from nodemanager.ids import NodeId
from tests.simulation.network import SimNetwork

WHERE = ("127.0.0.1", 7701)


async def hold(stream: Stream) -> None:
    await trio.sleep_forever()


async def listen(network: SimNetwork, *, task_status: trio.TaskStatus[int]) -> None:
    await network.listen(*WHERE, hold, task_status=task_status)


def test_exactly_one_of_a_pair_dials() -> None:
    assert is_dialer(NodeId(2), NodeId(1))
    assert not is_dialer(NodeId(1), NodeId(2))
    assert not is_dialer(NodeId(1), NodeId(1))


async def never_run(stream: Stream) -> Over:
    raise AssertionError("there was nothing to run")


async def test_nobody_there_is_a_reason(autojump_clock: trio.testing.MockClock) -> None:
    reason, _ = await dial_once(SimNetwork(), WHERE, never_run)
    assert reason == "nobody listens at 127.0.0.1 port 7701"
    assert await dial_once(SimNetwork(), None, never_run) == Over("not a member any more")


async def test_a_dial_that_hangs_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    network = SimNetwork()
    network.dark.add(WHERE[0])
    began_at = trio.current_time()
    reason, _ = await dial_once(network, WHERE, never_run)
    assert reason == "no connection to 127.0.0.1 port 7701 within 5 s"
    assert trio.current_time() == began_at + DIAL_SECONDS_MAX


async def dials_after(seconds: float, *, stays_seconds: float) -> int:
    """Return how often a link is made in a time, if each lasts `stays_seconds`."""
    network = SimNetwork()

    async def stay(stream: Stream) -> Over:
        await trio.sleep(stays_seconds)
        return Over("over")

    async with trio.open_nursery() as nursery:
        await nursery.start(listen, network)
        backoff = Backoff(random.Random(1))
        dial = partial(
            dial_forever, on_no_link=lambda _: False, wait_wanted=trio.lowlevel.checkpoint
        )
        nursery.start_soon(dial, "beta", network, lambda: WHERE, stay, RedialTimer(backoff))
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return len(network.connections)


async def test_a_link_that_stayed_starts_the_delays_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stays = STAYED_SECONDS_MIN
    # With a delay of at most 0.2 s after each link, all but a little of the time is spent in links.
    assert await dials_after(100 * stays, stays_seconds=stays) >= 98


async def test_links_that_break_at_once_are_made_ever_more_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made = await dials_after(100 * RECONNECT_SECONDS_MAX, stays_seconds=0.0)
    assert 100 <= made <= 220


async def test_nobody_is_dialled_as_long_as_the_link_is_good(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network, is_wanted = SimNetwork(), trio.Event()

    async def run(stream: Stream) -> Over:
        await trio.sleep(3600)
        return Over("over")

    async with trio.open_nursery() as nursery:
        await nursery.start(listen, network)
        dial = partial(dial_forever, on_no_link=lambda _: False, wait_wanted=is_wanted.wait)
        backoff = Backoff(random.Random(1))
        nursery.start_soon(dial, "beta", network, lambda: WHERE, run, RedialTimer(backoff))
        await trio.sleep(60)
        assert not network.connections
        is_wanted.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(network.connections) == 1
        nursery.cancel_scope.cancel()


async def test_a_peer_that_has_just_started_is_dialled_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network, dialled_at = SimNetwork(), []
    timer = RedialTimer(Backoff(random.Random(1)))

    def address() -> tuple[str, int]:
        dialled_at.append(trio.current_time())
        return WHERE

    async with trio.open_nursery() as nursery:
        dial = partial(
            dial_forever, on_no_link=lambda _: False, wait_wanted=trio.lowlevel.checkpoint
        )
        nursery.start_soon(dial, "beta", network, address, never_run, timer)
        await trio.sleep(10 * RECONNECT_SECONDS_MAX)  # the pauses are long by now
        began_at, tries = trio.current_time(), len(dialled_at)
        timer.hasten()
        await trio.sleep(RECONNECT_SECONDS_FIRST)
        assert len(dialled_at) == tries + 1
        await trio.sleep(4 * RECONNECT_SECONDS_FIRST)
        assert len(dialled_at) > tries + 1, "and often, if it was too early"
        assert began_at + RECONNECT_SECONDS_FIRST / 2 <= dialled_at[tries]
        nursery.cancel_scope.cancel()


async def test_to_hasten_does_not_prolong_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    timer = RedialTimer(Backoff(random.Random(1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timer.sleep, 0.01)
        await trio.testing.wait_all_tasks_blocked()
        timer.hasten()
    assert trio.current_time() == 0.01
    timer.hasten()  # nobody sleeps


async def resolved(host: str) -> list[str]:
    if host == "nobody":
        raise NameNotFound(host, "Name or service not known")
    return ["fd00::1", "10.0.0.1", "10.0.0.2"]


async def listen_at(
    network: SimNetwork, address: str, *, task_status: trio.TaskStatus[int]
) -> None:
    await network.listen(address, 7701, hold, task_status=task_status)


async def run_none(stream: Stream) -> Over:
    stream.close()
    return Over("it ran")


async def test_the_addresses_of_a_name_are_tried_in_turn_and_a_dark_one_takes_its_share(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimNetwork()
    network.dark.add("fd00::1")
    async with trio.open_nursery() as nursery:
        await nursery.start(listen_at, network, "10.0.0.2")
        began_at = trio.current_time()
        over = await dial_once(network, ("beta", 7701), run_none, resolved)
        assert over.reason == "it ran"
        assert trio.current_time() == pytest.approx(began_at + DIAL_SECONDS_MAX / 3)
        nursery.cancel_scope.cancel()


async def test_the_address_that_answered_last_is_tried_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network, dialled = SimNetwork(), Dialled()
    network.dark.add("fd00::1")
    async with trio.open_nursery() as nursery:
        await nursery.start(listen_at, network, "10.0.0.2")
        await dial_once(network, ("beta", 7701), run_none, resolved, dialled)
        began_at = trio.current_time()
        await dial_once(network, ("beta", 7701), run_none, resolved, dialled)
        assert trio.current_time() == began_at
        nursery.cancel_scope.cancel()


async def test_why_no_address_answers_is_told_of_each(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimNetwork()
    network.dark.add("fd00::1")
    reason, _ = await dial_once(network, ("beta", 7701), never_run, resolved)
    assert reason == (
        "beta: no connection to fd00::1 port 7701 within 1.67 s; nobody listens at 10.0.0.1 port 7701;"
        " nobody listens at 10.0.0.2 port 7701"
    )


async def test_a_name_that_is_not_found_is_a_reason_like_others() -> None:
    reason, _ = await dial_once(SimNetwork(), ("nobody", 7701), never_run, resolved)
    assert reason == "the name nobody has no address here: Name or service not known"


async def test_a_move_ends_the_contentment_with_a_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timer = RedialTimer(Backoff(random.Random(1)))
    timer.on_moved()  # nobody is content with one
    async with trio.open_nursery() as nursery:

        async def be_content() -> None:
            with timer.watching_link():
                await trio.sleep_forever()

        nursery.start_soon(be_content)
        await trio.testing.wait_all_tasks_blocked()
        timer.on_moved()
