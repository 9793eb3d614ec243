"""Changes of jobs are told to the log and to the events, with what an operator may type."""

import logging
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from config.event_kinds import EventKind
from ramsterd.host.loop_clock import LoopClock, pause_statistics, sleep_until_pause
from ramsterd.membership.inquiries import DrainSaid
from ramsterd.observe.job_watch import JobWatch
from ramsterd.observe.snapshot import DaemonStatistics
from tests.helpers.made_statistics import NAME, NODE, made_statistics

MADE = made_statistics()
TYPE = "type `ramsterctl job watch drain-7`, or `ramsterctl job cancel drain-7`"


class Node:
    """A node that ordered the drain of another one."""

    def __init__(self) -> None:
        self.left = 700
        self.is_draining = True
        self.at_risk = 0
        self.wall = 1000.0
        self.asked: list[int] = []
        self.watch = JobWatch(self.statistics, self.asked.append, wall=lambda: self.wall)

    def statistics(self) -> DaemonStatistics:
        engine = MADE.engine
        [row] = engine.nodes.nodes
        config = replace(
            row.config, draining=self.is_draining, drain_number=7, drain_began_at=1000,
            drain_deadline_at=1060, drain_origin=int(NODE), drain_reason="a new kernel",
        )  # fmt: skip
        quiet = replace(
            engine,
            nodes=replace(engine.nodes, nodes=(replace(row, config=config),)),
            rebuild=replace(engine.rebuild, is_counting=False, pages_at_risk=self.at_risk),
            holder_recall=replace(engine.holder_recall, is_active=False),
            owner_recall=replace(engine.owner_recall, recall_pages=0, pages_in_flight=0),
            scrub=replace(engine.scrub, scrubs_total=0),
            audit=replace(engine.audit, audits_total=0),
        )
        said = DrainSaid(is_reached=True, pages_foreign=self.left, pages_own_elsewhere=0)
        membership = replace(MADE.membership, drains={NODE: said})
        now = replace(
            MADE, node=NAME, engine=quiet, membership=membership, pauses=pause_statistics()
        )
        return self.watch.seen(now)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


async def test_what_begins_is_late_and_ends_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    node.watch.look()
    node.watch.look()
    node.wall = 1061
    node.watch.look()
    node.watch.look()
    node.left = 0
    node.watch.look()
    assert node.asked == [NODE], "not again within a moment"
    began, overdue, ended = lines(caplog)
    assert began == (
        logging.INFO,
        f"drain-7 of node {NAME} begins, ordered at node {NAME}: a new kernel",
    )
    assert overdue == (
        logging.WARNING,
        f"drain-7 of node {NAME} is overdue: 700 pages are left, and none is dropped; {TYPE}",
    )
    assert ended[0] == logging.INFO
    assert ended[1].startswith(f"drain-7 of node {NAME}: done, 700 pages moved in ")
    events = [vars(record)["event"] for record in caplog.records]
    assert [each["event"] for each in events] == [
        EventKind.DRAIN_BEGAN, EventKind.JOB_OVERDUE, EventKind.DRAIN_ENDED,
    ]  # fmt: skip
    assert {(each["node"], each["job"]) for each in events} == {(NAME, "drain-7")}


def test_after_a_pause_it_looks_at_once_and_tells_how_long_it_really_took(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = [1000.0]
    node = Node()

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.watch.run)
            await wait_all_tasks_blocked()
            caplog.clear()
            node.left = 0
            world[0] += 60.0
            began_at = trio.current_time()
            await sleep_until_pause(100.0)
            # Both wake in the same round.
            while not caplog.records:
                await trio.lowlevel.checkpoint()
            assert trio.current_time() == began_at
            nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(lambda: world[0]))
    [[_, text]] = [each for each in lines(caplog) if "drain" in each[1]]
    assert text == f"drain-7 of node {NAME}: done, 700 pages moved in 1m"


async def test_one_that_is_called_off_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    node.watch.look()
    node.is_draining = False
    node.watch.look()
    assert lines(caplog)[-1][1].startswith(f"drain-7 of node {NAME}: cancelled: 700 pages left")


async def test_without_a_job_it_looks_as_seldom_as_health_does(
    autojump_clock: MockClock,
) -> None:
    node = Node()
    looks: list[float] = []

    def look() -> DaemonStatistics:
        looks.append(trio.current_time())
        return node.statistics()

    node.watch = JobWatch(look, node.asked.append, wall=lambda: node.wall)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.watch.run)
        await trio.sleep(3.5)
        node.is_draining = False
        await trio.sleep(6.0)
        nursery.cancel_scope.cancel()
    # It learns by its own look that the job is over, and that was its last one of this kind.
    assert looks == [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0]


def test_who_asks_sees_what_is_so_now_and_not_what_was_a_moment_ago() -> None:
    """A command that begins a job returns its name."""
    node = Node()
    node.is_draining = False
    old: list[DaemonStatistics] = []

    async def story() -> None:
        old.append(node.statistics())
        watch = JobWatch(node.statistics, node.asked.append, look=old.pop, wall=lambda: node.wall)
        node.watch = watch
        node.is_draining = True
        watch.look()
        assert [job.id for job in watch.table.statistics().jobs] == ["drain-7"]

    trio.run(story)
