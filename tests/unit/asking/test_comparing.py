"""Peers are asked for their reports over simulated links, beside the commands of operators."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from config.limits import BUDGET_BYTES_MIN
from net.link import Link
from net.peerlink import PeerLink
from nodemanager.ids import NodeId
from ramsterd import __version__
from ramsterd.admin.self_report_command import SelfReporter
from ramsterd.asking.asker import QUESTIONS_MAX
from ramsterd.asking.comparer import ASK_AGAIN_SECONDS, PeerReport
from ramsterd.asking.comparing import Comparing
from ramsterd.asking.exchange import Exchange
from ramsterd.host.loop_clock import LoopClock, sleep_until_pause
from tests.helpers.sim_nodes import SimNode, eventually, run_nodes

SMALL = BUDGET_BYTES_MIN


def answers(node: SimNode, clock: float) -> list[dict[str, object]]:
    """Have a node answer as its control socket would, with a clock of its own; return what it is asked."""
    reporter = SelfReporter(node.peers, lambda: 7.0, wall_clock=lambda: clock)
    asked: list[dict[str, object]] = []

    def reply(line: bytes) -> bytes:
        asked.append(json.loads(line))
        return json.dumps({"ok": True, "result": reporter.ask(asked[-1])}).encode()

    node.peers.asking.answer = reply
    return asked


def comparing(node: SimNode, clock: float = 1000.0) -> Comparing:
    return Comparing(
        node.peers.asking, f"n{node.number}",
        monotonic=trio.current_time, wall_clock=lambda: clock,
    )  # fmt: skip


async def test_a_peer_tells_its_version_and_clock_and_how_it_sees_the_asker(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other], trio.open_nursery() as nursery:
        asked, mine = answers(other, clock=1012.0), comparing(node)
        nursery.start_soon(mine.run)
        await eventually(lambda: other.number in mine.reports())
        said = mine.reports()[other.number]
        assert (said.version, said.is_skewed) == (__version__, True)
        assert said.clock_skew_seconds == pytest.approx(12.0, abs=0.5)
        assert asked[0] == {"command": "self-report", "for": "n1"}
        reporter = SelfReporter(other.peers, lambda: 7.0)
        plain: Any = reporter.ask(asked[0])
        assert plain["sees"]["is_linked"] is True
        assert plain["sees"]["state"] == "up"
        assert plain["sees"]["heartbeat_seconds"] >= 0
        stranger: Any = reporter.ask({"for": "n9"})
        itself: Any = reporter.ask({"for": "n2"})
        assert stranger["sees"] is None
        assert itself["sees"] is None
        assert node.peers.asking.statistics().answered_questions_total == 0, "no operator asked"
        nursery.cancel_scope.cancel()


async def test_a_node_that_answers_no_others_is_of_an_older_version(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other], trio.open_nursery() as nursery:
        asked, mine = answers(other, clock=1000.0), comparing(node)
        link = node.peers.mesh.links[other.number]
        assert isinstance(link, PeerLink)
        link.features = 0
        nursery.start_soon(mine.run)
        await eventually(lambda: bool(mine.reports()))
        assert mine.reports() == {other.number: PeerReport(version="")}
        assert asked == []
        nursery.cancel_scope.cancel()


async def test_an_answer_that_is_no_report_is_none_and_the_peer_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other], trio.open_nursery() as nursery:
        other.peers.asking.answer = lambda _: b'{"ok": false, "error": "found command"}'
        mine = comparing(node)
        nursery.start_soon(mine.run)
        await trio.sleep(10)
        assert mine.reports() == {}
        answers(other, clock=1000.0)
        await trio.sleep(ASK_AGAIN_SECONDS)
        assert mine.reports()[other.number].version == __version__
        nursery.cancel_scope.cancel()


async def test_operators_who_ask_all_they_may_leave_room_for_the_node_itself(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other], trio.open_nursery() as nursery:
        answers(other, clock=1000.0)
        for _ in range(QUESTIONS_MAX):
            node.peers.asking._asker.begin(other.number, lambda: None)
        mine = comparing(node)
        nursery.start_soon(mine.run)
        await eventually(lambda: bool(mine.reports()))
        node.peers.asking._asker.check_invariants()
        nursery.cancel_scope.cancel()


async def test_a_digest_is_that_of_the_present_members(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, _]:
        reporter = SelfReporter(node.peers, lambda: 7.0)
        before: Any = reporter.ask({})
        members = node.peers.members
        members._history.cluster = replace(members.cluster, membership_version=7)
        after: Any = reporter.ask({})
        assert (before["membership_version"], after["membership_version"]) == (0, 7)
        assert before["cluster_digest"] != after["cluster_digest"]


def test_after_a_pause_links_are_looked_at_at_once() -> None:
    world, looks = [1000.0], []

    class NoPeers:
        @property
        def links(self) -> dict[NodeId, Link]:
            looks.append(trio.current_time())
            return {}

    async def story() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Comparing(cast("Exchange", NoPeers()), "n1").run)
            await wait_all_tasks_blocked()
            before = len(looks)
            world[0] += 3.0
            await sleep_until_pause(100.0)
            while len(looks) == before:
                await trio.lowlevel.checkpoint()
            assert looks[-1] == looks[0], "in no time of the loop"
            nursery.cancel_scope.cancel()

    trio.run(story, clock=LoopClock(lambda: world[0]))
