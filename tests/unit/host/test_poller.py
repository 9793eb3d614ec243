"""A real loop that polls: what comes within the window is heard without a sleep, and nothing of it is taken."""

import socket
from collections.abc import Callable, Iterator
from itertools import count, repeat

import pytest
import trio
import trio.testing

from ramsterd.host.poll_window import CROWDED_NANOSECONDS, FIRST_NANOSECONDS
from ramsterd.host.poller import LINGER_NANOSECONDS_MAX, Poller, switches_of_this_thread

FAR = 10.0


class Steps:
    """A clock that goes on by a step with each look at it; something may happen at one of them."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.looks = count(1)
        self.events: dict[int, Callable[[], object]] = {}

    def __call__(self) -> int:
        look = next(self.looks)
        self.events.pop(look, lambda: None)()
        return look * self.step


async def polling(poller: Poller, nursery: trio.Nursery) -> None:
    """Have the poller poll for this loop."""
    nursery.start_soon(poller.run)
    await trio.testing.wait_all_tasks_blocked()


async def test_what_comes_while_it_polls_is_a_hit_and_is_received() -> None:
    clock = Steps(FIRST_NANOSECONDS // 8)
    poller = Poller(1000, cores=2, clock=clock)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    async with trio.open_nursery() as nursery:
        await polling(poller, nursery)
        poller._window.nanoseconds = FIRST_NANOSECONDS
        before = poller.statistics()
        # At a look of the wait that comes next.
        clock.events[next(clock.looks) + 4] = lambda: theirs.send(b"2")
        with trio.fail_after(FAR):
            await trio.lowlevel.wait_readable(ours)
        assert ours.recv(9) == b"2"
        found = poller.statistics()
        assert found.hit_polls_total == before.hit_polls_total + 1
        assert found.missed_polls_total == before.missed_polls_total
        assert found.polled_seconds_total > before.polled_seconds_total
        nursery.cancel_scope.cancel()
    ours.close()
    theirs.close()


async def test_what_does_not_come_is_a_miss_and_the_loop_sleeps() -> None:
    poller = Poller(1000, cores=2, clock=Steps(FIRST_NANOSECONDS // 8))
    async with trio.open_nursery() as nursery:
        await polling(poller, nursery)
        poller._window.nanoseconds = FIRST_NANOSECONDS
        before = poller.statistics()
        await trio.sleep(0.05)
        found = poller.statistics()
        assert found.hit_polls_total == before.hit_polls_total
        assert found.missed_polls_total > before.missed_polls_total
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_core_that_others_take_is_left_to_them(is_taken: bool) -> None:
    """What took as long and was no other process changes nothing."""
    switches = count() if is_taken else repeat(0)
    poller = Poller(1000, cores=2, clock=Steps(CROWDED_NANOSECONDS + 1), switches=switches.__next__)
    async with trio.open_nursery() as nursery:
        await polling(poller, nursery)
        poller._window.nanoseconds = 10 * CROWDED_NANOSECONDS
        before = poller.statistics()
        await trio.sleep(0.05)
        found = poller.statistics()
        assert found.crowded_polls_total - before.crowded_polls_total == is_taken
        assert found.missed_polls_total - before.missed_polls_total == (not is_taken)
        nursery.cancel_scope.cancel()


class Lingerer:
    """A task that serves a socket, in a loop that would poll for eight looks of it."""

    def __init__(self) -> None:
        self.clock = Steps(FIRST_NANOSECONDS // 8)
        self.poller = Poller(1000, cores=2, clock=self.clock)
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)

    def at_look(self, look: int, event: Callable[[], object]) -> None:
        """Have something happen at a look at the clock, from the next one on."""
        self.clock.events[next(self.clock.looks) + look] = event

    def linger(self) -> bool:
        """Return whether the task would receive something then."""
        assert self._linger is not None
        self._linger()
        try:
            return bool(self.ours.recv(9))
        except BlockingIOError:
            return False

    async def begin(self, nursery: trio.Nursery) -> None:
        await polling(self.poller, nursery)
        self._linger = self.poller.lingering_at(self.ours.fileno())
        await self.new_round()

    async def new_round(self) -> None:
        """Have a round of the loop in which nobody else runs."""
        self.poller._window.nanoseconds = FIRST_NANOSECONDS
        await trio.lowlevel.checkpoint()

    @property
    def polls(self) -> tuple[int, int]:
        found = self.poller.statistics()
        return found.hit_polls_total, found.missed_polls_total


@pytest.fixture
def lingerer() -> Iterator[Lingerer]:
    lingerer = Lingerer()
    yield lingerer
    lingerer.ours.close()
    lingerer.theirs.close()


async def test_a_task_that_lingers_has_what_comes_meanwhile(lingerer: Lingerer) -> None:
    async with trio.open_nursery() as nursery:
        await lingerer.begin(nursery)
        hits, misses = lingerer.polls
        lingerer.at_look(3, lambda: lingerer.theirs.send(b"1"))
        assert lingerer.linger()
        assert lingerer.polls == (hits + 1, misses)
        assert lingerer.poller.lingered_seconds() > 0
        await lingerer.new_round()
        assert lingerer.poller.lingered_seconds() == 0
        nursery.cancel_scope.cancel()


async def test_who_lingered_in_vain_is_not_polled_for_again(lingerer: Lingerer) -> None:
    async with trio.open_nursery() as nursery:
        await lingerer.begin(nursery)
        hits, misses = lingerer.polls
        assert not lingerer.linger()
        assert lingerer.polls == (hits, misses + 1)
        lingerer.clock.step = 10**9
        await trio.sleep(0.01)
        assert lingerer.polls == (hits, misses + 1)
        # What has waited for so long ended the window; without one nobody lingers.
        assert lingerer.poller.statistics().poll_window_seconds == 0
        lingerer.poller._look = lambda _: pytest.fail("looked")
        assert not lingerer.linger()
        nursery.cancel_scope.cancel()


async def test_who_went_on_after_all_does_not_wait_from_then(lingerer: Lingerer) -> None:
    """It lingered in vain, found something a moment later, and lingered again with success."""
    async with trio.open_nursery() as nursery:
        await lingerer.begin(nursery)
        assert not lingerer.linger()
        assert lingerer.poller._lingered_at
        lingerer.theirs.send(b"1")
        assert lingerer.linger()
        assert not lingerer.poller._lingered_at
        nursery.cancel_scope.cancel()


async def test_what_is_for_others_ends_lingering_and_is_left_to_them(lingerer: Lingerer) -> None:
    other, sender = socket.socketpair()
    heard = trio.Event()

    async def hear() -> None:
        await trio.lowlevel.wait_readable(other)
        assert other.recv(9) == b"2"
        heard.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        await lingerer.begin(nursery)
        hits, _ = lingerer.polls
        lingerer.at_look(3, lambda: sender.send(b"2"))
        assert not lingerer.linger()
        assert lingerer.polls[0] == hits + 1
        with trio.fail_after(FAR):
            await heard.wait()
        nursery.cancel_scope.cancel()
    other.close()
    sender.close()


async def test_nobody_lingers_while_another_task_is_to_run(lingerer: Lingerer) -> None:
    async with trio.open_nursery() as nursery:
        await lingerer.begin(nursery)
        before = lingerer.polls
        nursery.start_soon(trio.lowlevel.checkpoint)
        assert not lingerer.linger()
        # Both run in the next round, one before the other.
        await lingerer.new_round()
        assert not lingerer.linger()
        assert lingerer.polls == before
        nursery.cancel_scope.cancel()


async def test_timers_do_not_wait_long_for_who_lingers(lingerer: Lingerer) -> None:
    async with trio.open_nursery() as nursery:
        await lingerer.begin(nursery)
        lingerer.clock.step = CROWDED_NANOSECONDS
        lingerer.poller._window.nanoseconds = LINGER_NANOSECONDS_MAX // 4
        before = sum(lingerer.polls)
        for _ in range(20):
            lingerer.linger()
        assert 2 <= sum(lingerer.polls) - before <= 4
        # The next round is another matter.
        await lingerer.new_round()
        before = sum(lingerer.polls)
        lingerer.linger()
        assert sum(lingerer.polls) == before + 1
        nursery.cancel_scope.cancel()


def test_what_the_kernel_counts() -> None:
    before = switches_of_this_thread()
    assert before >= 0
    assert switches_of_this_thread() >= before


@pytest.mark.parametrize(("microseconds_max", "cores"), [(0, 8), (1000, 1)])
async def test_without_a_window_or_another_core_it_never_polls(
    microseconds_max: int, cores: int
) -> None:
    poller = Poller(microseconds_max, cores=cores)
    async with trio.open_nursery() as nursery:
        await polling(poller, nursery)
        with socket.socket() as sock:
            assert poller.lingering_at(sock.fileno()) is None
        poller._window.nanoseconds = FIRST_NANOSECONDS
        for _ in range(5):
            await trio.sleep(1e-3)
        found = poller.statistics()
        assert (found.hit_polls_total, found.missed_polls_total) == (0, 0)
        nursery.cancel_scope.cancel()


def test_a_deadline_that_is_near_is_no_reason_to_poll() -> None:
    poller = Poller(1000, cores=2)
    poller._look = lambda _: pytest.fail("looked")
    poller._window.nanoseconds = 900_000
    poller.before_io_wait(0.0009)
    poller.after_io_wait(0.0009)
    assert poller.statistics().missed_polls_total == 0


async def test_a_trio_that_can_not_be_polled_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poller = Poller(100, cores=2)
    monkeypatch.setattr("ramsterd.host.poller.this_loop", lambda: None)
    async with trio.open_nursery() as nursery:
        await polling(poller, nursery)
        assert "can't be polled: poll_microseconds_max has no effect" in caplog.text
        await trio.sleep(1e-3)
        assert poller.statistics().missed_polls_total == 0
        nursery.cancel_scope.cancel()
