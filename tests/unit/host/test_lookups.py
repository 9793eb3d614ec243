"""Lookups that take their time, in real threads."""

import threading

import pytest
import trio
import trio.testing

from config.lookup import NameNotFound
from ramsterd.host.lookups import LOOKUP_SECONDS_MAX, LOOKUPS_AT_ONCE_MAX, Lookups, find_now
from tests.helpers.no_threads import no_threads


class Resolver:
    """A resolver of the system that answers when it is told to."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        if not is_slow:
            self.may_answer.set()

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        assert self.may_answer.wait(20)
        if host == "nobody":
            raise NameNotFound(host, "Name or service not known")
        return ("10.0.0.1",)


async def test_a_name_is_found_or_not() -> None:
    lookups = Lookups(Resolver())
    async with trio.open_nursery() as nursery:
        await nursery.start(lookups.run)
        assert await lookups.find("alpha") == ("10.0.0.1",)
        with pytest.raises(NameNotFound, match="nobody has no address here: Name or service not"):
            await lookups.find("nobody")
        now = lookups.statistics()
        assert (now.under_way, now.found_total, now.failed_total, now.late_total) == (0, 1, 1, 0)
        nursery.cancel_scope.cancel()


async def test_all_who_ask_for_the_same_name_share_one_lookup() -> None:
    resolver = Resolver(is_slow=True)
    lookups = Lookups(resolver)
    found: list[tuple[str, ...]] = []

    async def ask() -> None:
        found.append(await lookups.find("alpha"))

    async with trio.open_nursery() as nursery:
        await nursery.start(lookups.run)
        async with trio.open_nursery() as asking:
            for _ in range(9):
                asking.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert "alpha" in lookups
            resolver.may_answer.set()
        assert found == [("10.0.0.1",)] * 9
        assert resolver.asked == ["alpha"]
        nursery.cancel_scope.cancel()


async def test_a_resolver_that_hangs_costs_a_bounded_number_of_threads_and_of_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ramsterd.host.lookups.LOOKUP_SECONDS_MAX", 0.05)
    resolver = Resolver(is_slow=True)
    lookups = Lookups(resolver)
    late: list[str] = []

    async def ask(host: str) -> None:
        with pytest.raises(NameNotFound, match="no answer within"):
            await lookups.find(host)
        late.append(host)

    async with trio.open_nursery() as nursery:
        await nursery.start(lookups.run)
        hosts = [f"host{number}" for number in range(3 * LOOKUPS_AT_ONCE_MAX)]
        async with trio.open_nursery() as asking:
            for host in hosts:
                asking.start_soon(ask, host)
        assert sorted(late) == sorted(hosts)
        assert len(resolver.asked) == LOOKUPS_AT_ONCE_MAX
        now = lookups.statistics()
        assert (now.under_way, now.late_total) == (len(hosts), len(hosts))
        resolver.may_answer.set()
        with trio.fail_after(20):
            while lookups.statistics().under_way:  # noqa: ASYNC110  threads have no event
                await trio.sleep(0.01)
        assert await lookups.find("host0") == ("10.0.0.1",)
        nursery.cancel_scope.cancel()


async def test_a_stop_does_not_wait_for_a_resolver_that_hangs() -> None:
    resolver = Resolver(is_slow=True)
    lookups = Lookups(resolver)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(lookups.run)
            nursery.start_soon(lookups.find, "alpha")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    resolver.may_answer.set()


async def test_without_a_thread_a_name_is_not_found() -> None:
    lookups = Lookups(Resolver())
    with no_threads():
        async with trio.open_nursery() as nursery:
            await nursery.start(lookups.run)
            with pytest.raises(NameNotFound, match="no thread can be started"):
                await lookups.find("alpha")
            nursery.cancel_scope.cancel()


def test_before_there_is_a_loop_a_lookup_has_the_same_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(is_slow=True)
    monkeypatch.setattr("ramsterd.host.lookups.look_up", resolver)
    monkeypatch.setattr("ramsterd.host.lookups.LOOKUP_SECONDS_MAX", 0.01)
    with pytest.raises(NameNotFound, match="no answer within"):
        find_now("alpha")
    resolver.may_answer.set()
    monkeypatch.setattr("ramsterd.host.lookups.LOOKUP_SECONDS_MAX", LOOKUP_SECONDS_MAX)
    assert find_now("alpha") == ("10.0.0.1",)
    with pytest.raises(NameNotFound, match="Name or service not known"):
        find_now("nobody")
