"""A defect of what only looks and tells ends no daemon: it is told, counted, and the look begins again."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from config.event_kinds import EventKind
from net.link import Link
from net.tls import TlsTransport
from nodemanager.ids import NodeId
from ramsterd.asking.comparing import Comparing
from ramsterd.asking.exchange import Exchange
from ramsterd.host.certificate import CertificateKeeper
from ramsterd.membership.disk_watch import DiskWatch
from ramsterd.observe.daemon_news import DaemonNews
from ramsterd.observe.health_watch import HealthWatch
from ramsterd.observe.job_watch import JobWatch
from ramsterd.observe.observers import AGAIN_SECONDS, Observer, Observers
from ramsterd.observe.snapshot import DaemonStatistics
from tests.fakes.quiet_log import QuietLog


class Defect(Exception):
    """A mistake in ramsterd."""


class Broken:
    """Whatever is looked at: it fails, and counts how often it was looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def fail(self, *_: object) -> Any:
        self.looks += 1
        raise Defect(f"look {self.looks}")

    def statistics(self) -> DaemonStatistics:
        return cast("DaemonStatistics", self.fail())

    @property
    def links(self) -> dict[NodeId, Link]:
        return cast("dict[NodeId, Link]", self.fail())

    @property
    def credentials(self) -> object:
        return self.fail()

    def asked(self, node: NodeId) -> None:
        raise AssertionError(f"node {node} is asked by what has not looked")


Observe = Callable[[], Awaitable[None]]
# How each of them meets what fails.
OBSERVING: dict[Observer, Callable[[Broken], Observe]] = {
    Observer.NEWS: lambda broken: DaemonNews(QuietLog(), broken.statistics).run,
    Observer.HEALTH: lambda broken: HealthWatch(broken.statistics).run,
    Observer.JOBS: lambda broken: JobWatch(broken.statistics, broken.asked).run,
    Observer.DISK: lambda broken: DiskWatch(broken.fail, on_look=broken.fail).run,
    Observer.CERTIFICATE: lambda broken: CertificateKeeper(cast("TlsTransport", broken)).watch,
    Observer.COMPARING: lambda broken: Comparing(cast("Exchange", broken), "n1").run,
}


def test_all_of_them_are_here() -> None:
    assert set(OBSERVING) == set(Observer)


@pytest.mark.parametrize("observer", Observer)
async def test_a_defect_is_survived_told_and_counted(
    observer: Observer, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    observers, broken = Observers(), Broken()
    observe = OBSERVING[observer](broken)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observers.run, observer, observe)
        for looks in (1, 2):
            # What looks in a thread takes real time; what sleeps first, this.
            while broken.looks < looks or _faults(observers, observer) < looks:
                mock_clock.jump(AGAIN_SECONDS / 4)
                await trio.lowlevel.checkpoint()
                await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert observers.statistics().faults_total == dict.fromkeys(Observer, 0) | {observer: 2}
    told = [record for record in caplog.records if record.name == "ramster.daemon"]
    assert [record.levelno for record in told] == [logging.ERROR] * 2
    for record in told:
        assert record.getMessage().startswith("a defect of ramsterd ended the look at ")
        assert record.exc_info is not None, "with its traceback"
        assert vars(record)["event"] == {
            "event": EventKind.OBSERVER_FAILED, "observer": observer.value,
        }  # fmt: skip


async def test_it_rests_between_a_fault_and_the_next_look(autojump_clock: MockClock) -> None:
    observers, broken = Observers(), Broken()
    with trio.move_on_after(10 * AGAIN_SECONDS - 1):
        await observers.run(Observer.HEALTH, HealthWatch(broken.statistics).run)
    assert broken.looks == 10


async def test_what_ends_the_daemon_ends_its_observers(autojump_clock: MockClock) -> None:
    observers = Observers()
    with trio.move_on_after(1) as scope:
        await observers.run(Observer.HEALTH, trio.sleep_forever)
    assert scope.cancelled_caught
    assert observers.statistics().faults_total[Observer.HEALTH] == 0


async def test_who_interrupts_a_look_interrupts_the_daemon() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Observers().run(Observer.HEALTH, interrupted)


def test_a_single_look_that_fails_is_counted_too() -> None:
    observers, broken = Observers(), Broken()
    observers.attempt(Observer.NEWS, broken.fail)
    assert observers.statistics().faults_total[Observer.NEWS] == broken.looks == 1
    observers.attempt(Observer.NEWS, lambda: None)
    assert observers.statistics().faults_total[Observer.NEWS] == 1


def _faults(observers: Observers, observer: Observer) -> int:
    return observers.statistics().faults_total[observer]
