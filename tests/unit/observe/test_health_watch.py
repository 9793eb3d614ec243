"""Changes of health are told to the log and to who asked for them; the snapshot has the health of its own figures."""

import logging
import random
from dataclasses import replace

import pytest
import trio
import trio.testing

from config.event_kinds import EventKind, about
from ramsterd.health.codes import Code
from ramsterd.host.loop_clock import LoopClock, sleep_until_pause
from ramsterd.observe.health_watch import HEALTH_SECONDS, HealthWatch
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.made_statistics import random_statistics

# Whatever else it says is of no concern here.
ANY = random_statistics(random.Random(1))


class Node:
    """A node whose certificate ends when we want it to."""

    def __init__(self) -> None:
        self.certificate_seconds: float | None = 1e9
        self.watch = HealthWatch(self.statistics)

    def statistics(self) -> DaemonStatistics:
        return self.watch.judged(replace(ANY, certificate_expiry_seconds=self.certificate_seconds))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    return sorted((level, text) for level, text in told if text.startswith("CERT_"))


def events(caplog: pytest.LogCaptureFixture) -> list[object]:
    """Return those about certificates."""
    found = [vars(record).get("event", {}) for record in caplog.records]
    return [each for each in found if str(each.get("code")).startswith("CERT_")]


async def test_a_change_is_told_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.watch.run)
        await trio.sleep(60.5)
        caplog.clear()
        node.certificate_seconds = 86_400.0
        await trio.sleep(10 * HEALTH_SECONDS)
        node.certificate_seconds = -1.0
        await trio.sleep(10 * HEALTH_SECONDS)
        node.certificate_seconds = 1e9
        await trio.sleep(10 * HEALTH_SECONDS)
        nursery.cancel_scope.cancel()
    renew = "type: where the CA is: ramsterctl cluster renew --from DIR --out renewed"
    expected = [
        (
            logging.WARNING,
            "CERT_EXPIRING (warn): the certificate of this node expires in 1 day; then it gets no new links; "
            + renew,
        ),
        (
            logging.ERROR,
            "CERT_EXPIRED (err): no new links: the certificate of this node expired 1s ago; "
            + renew,
        ),
        (logging.INFO, "CERT_EXPIRING is over, after 20 s"),
        (logging.INFO, "CERT_EXPIRED is over, after 20 s"),
    ]
    assert lines(caplog) == sorted(expected)
    assert sorted(events(caplog), key=str) == sorted(
        [
            about(EventKind.HEALTH_CHANGED, code=code.value, severity=severity)["event"]
            for code, severities in (
                (Code.CERT_EXPIRING, ("warn", "ok")),
                (Code.CERT_EXPIRED, ("err", "ok")),
            )
            for severity in severities
        ],
        key=str,
    )


async def test_the_end_of_a_mute_is_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node()
    node.certificate_seconds = 86_400.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.watch.run)
        await trio.sleep(1)
        node.watch.health.mute(Code.CERT_EXPIRING, 30.0, node.watch.now())
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert (logging.WARNING, "CERT_EXPIRING is not muted any more: the time is over") in lines(
        caplog
    )


async def test_a_snapshot_has_the_health_of_its_own_figures() -> None:
    node = Node()
    assert "CERT_EXPIRED" not in {each.code for each in node.statistics().health.codes}
    node.certificate_seconds = -1.0
    assert "CERT_EXPIRED" in {each.code for each in node.statistics().health.codes}


def test_after_a_pause_it_looks_at_once(caplog: pytest.LogCaptureFixture) -> None:
    world = [1000.0]
    node = Node()

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.watch.run)
            await trio.lowlevel.checkpoint()
            caplog.clear()
            node.certificate_seconds = -1.0
            world[0] += 3.0
            began_at = trio.current_time()
            await sleep_until_pause(100.0)
            # Both wake in the same round.
            while not events(caplog):
                await trio.lowlevel.checkpoint()
            assert trio.current_time() == began_at
            nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(lambda: world[0]))
