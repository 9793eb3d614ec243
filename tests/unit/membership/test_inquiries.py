"""What all nodes have to do with one node: who is asked, who answers, and when nobody is waited for."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

import pytest
import trio
from trio.testing import MockClock

from config.model import ClusterConfig
from net.frame import Frame
from net.link import Link, LinkStatistics
from net.transport import Piece
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable
from ramsterd.membership.inquiries import (
    DRAIN_ANSWER_SECONDS_MAX,
    PLAN_SECONDS_MAX,
    DrainSaid,
    Inquiries,
    Inquiry,
)
from ramsterd.membership.messages import Holdings, MemberMessage, parse_ask, parse_holdings
from ramsterd.remote.home.last_copies import Counted
from tests.helpers.clusters import cluster_of

US, ONE, OTHER, STRANGER = NodeId(0), NodeId(1), NodeId(2), NodeId(9)
INCARNATION: Final = Incarnation(1)
CLUSTER: Final = cluster_of(3)


class FakeLink:
    """Keeps what was said on it."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.incarnation = INCARNATION
        self.send_queue_bytes = 0
        self.posted: list[Frame] = []
        self.pushed: list[Frame] = []

    def post(
        self,
        frame_type: int,
        *,
        count: int = 0,
        table: Piece = b"",
        body: Sequence[Piece] = (),
        request_id: int = 0,
        is_reply: bool = False,
    ) -> None:
        assert (count, tuple(body), request_id, is_reply) == (1, (), 0, False)
        self.posted.append(
            Frame(frame_type, False, 0, count, memoryview(bytes(table)), memoryview(b""))
        )

    def push(self) -> None:
        self.pushed += self.posted
        self.posted = []

    def request(self, *args: object, **named: object) -> None:
        raise AssertionError("an inquiry is no request of the link")

    def close(self, reason: str) -> None:
        raise AssertionError("an inquiry closes no link")

    def statistics(self) -> LinkStatistics:
        raise AssertionError("an inquiry measures no link")

    def said(self) -> list[NodeId | Holdings]:
        """Return what left: of an ASK the node that it is about."""
        return [
            parse_ask(each) if each.type == MemberMessage.ASK else parse_holdings(each)
            for each in self.pushed
        ]


class FakePages:
    """A page path that counts when the test says so."""

    def __init__(self) -> None:
        self.nodes = NodeTable(CLUSTER, US, incarnation=Incarnation(7))
        self.incarnation = Incarnation(7)
        # What is to be counted, and since when.
        self.counting: list[tuple[NodeId, float]] = []
        self.there, self.here, self.owned = 30, 20, 10

    def pages_there(self, node: NodeId) -> int:
        return self.there + node

    def pages_here(self, node: NodeId) -> int:
        return self.here + node if self.here else 0

    def pages_owned(self) -> int:
        return self.owned

    def may_begin_incarnation(self) -> bool:
        raise AssertionError("an inquiry begins no incarnation")

    def begin_last_copies_count(self, node: NodeId, *, now: float) -> None:
        self.counting.append((node, now))


class Asking:
    """Our inquiries, with links to two peers."""

    def __init__(self) -> None:
        self.pages = FakePages()
        self.links = {node: FakeLink(node) for node in (ONE, OTHER)}
        self.inquiries = Inquiries(self.pages, cast("Mapping[NodeId, Link]", self.links))
        self.inquiries.count_clients = lambda: 5

    def counted(self, node: NodeId, last_copies: int = 3) -> None:
        self.inquiries.on_counted(Counted(node, last_copies))

    def drain_ourselves(self, *, draining: bool = True) -> None:
        nodes = (replace(each, draining=draining and each.number == US) for each in CLUSTER.node)
        self.pages.nodes.on_members(replace(CLUSTER, node=tuple(nodes)))


@pytest.fixture
def asking() -> Asking:
    return Asking()


def of_peer(node: NodeId, last_copies: int = 0) -> Holdings:
    return Holdings(node, last_copies, 2, 1)


# Before a removal.


async def test_all_linked_nodes_and_we_are_asked(asking: Asking, mock_clock: MockClock) -> None:
    mock_clock.jump(100.0)
    inquiry = asking.inquiries.ask(ONE)
    assert {node: link.said() for node, link in asking.links.items()} == {
        ONE: [ONE],
        OTHER: [ONE],
    }
    assert asking.pages.counting == [(ONE, trio.current_time())]
    assert inquiry == Inquiry(trio.current_time(), trio.current_time(), {US, ONE, OTHER}, {})
    assert asking.inquiries.removals == {ONE: inquiry}
    assert asking.inquiries.drains_said() == {}


async def test_an_inquiry_is_over_when_all_have_answered(asking: Asking) -> None:
    inquiry = asking.inquiries.ask(ONE)
    asking.inquiries.on_holdings(OTHER, of_peer(ONE, 4))
    assert inquiry.waits_for == {US, ONE}
    asking.counted(ONE)
    asking.inquiries.on_holdings(ONE, of_peer(ONE, 5))
    assert inquiry.waits_for == set()
    assert inquiry.answers == {
        US: Holdings(ONE, 3, 31, 21),
        ONE: of_peer(ONE, 5),
        OTHER: of_peer(ONE, 4),
    }


async def test_an_answer_that_nobody_waits_for_is_none(asking: Asking) -> None:
    inquiry = asking.inquiries.ask(ONE)
    asking.inquiries.on_holdings(STRANGER, of_peer(ONE))
    asking.inquiries.on_holdings(OTHER, of_peer(OTHER))
    assert inquiry.answers == {}
    asking.inquiries.on_holdings(OTHER, of_peer(ONE, 1))
    asking.inquiries.on_holdings(OTHER, of_peer(ONE, 2))
    assert inquiry.answers == {OTHER: of_peer(ONE, 1)}, "who was asked once answers once"


async def test_nobody_waits_for_a_node_whose_link_is_lost(asking: Asking) -> None:
    removal = asking.inquiries.ask(ONE)
    asking.inquiries.on_link_lost(OTHER)
    assert removal.waits_for == {US, ONE}
    asking.inquiries.on_holdings(OTHER, of_peer(ONE))
    assert OTHER not in removal.answers


# As a node drains.


def draining(*nodes: NodeId, number: int = 5) -> ClusterConfig:
    rows = (
        replace(each, draining=True, drain_number=number) if each.number in nodes else each
        for each in CLUSTER.node
    )
    return replace(CLUSTER, node=tuple(rows))


async def test_a_node_that_drains_is_asked_about_itself_and_nobody_else(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    asking.inquiries.ask_drained(OTHER)
    assert (asking.links[ONE].said(), asking.links[OTHER].said()) == ([], [OTHER])
    assert asking.pages.counting == []
    assert asking.inquiries.drains_said() == {OTHER: DrainSaid(is_reached=True)}
    assert asking.inquiries.removals == {}
    asking.inquiries.on_holdings(OTHER, Holdings(OTHER, 3, 2, 9, pages_owned=10, clients=4))
    said = DrainSaid(
        is_reached=True, pages_foreign=9, pages_own_elsewhere=3, pages_owned=10, clients=4
    )
    assert asking.inquiries.drains_said() == {OTHER: said}


async def test_a_node_that_does_not_drain_is_not_asked(asking: Asking) -> None:
    asking.inquiries.ask_drained(OTHER)
    assert asking.links[OTHER].said() == []


async def test_who_still_counts_is_not_asked_again(asking: Asking, mock_clock: MockClock) -> None:
    asking.inquiries.on_members(draining(OTHER))
    asking.inquiries.ask_drained(OTHER)
    asking.inquiries.ask_drained(OTHER)
    assert asking.links[OTHER].said() == [OTHER]
    mock_clock.jump(DRAIN_ANSWER_SECONDS_MAX)
    asking.inquiries.ask_drained(OTHER)
    assert asking.links[OTHER].said() == [OTHER, OTHER]


async def test_a_node_that_drains_without_a_link_is_not_reached(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    link = asking.links.pop(OTHER)
    asking.inquiries.ask_drained(OTHER)
    assert link.said() == []
    assert asking.inquiries.drains_said() == {OTHER: DrainSaid(is_reached=False)}


async def test_a_lost_link_is_asked_again_as_soon_as_it_is_back(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    asking.inquiries.ask_drained(OTHER)
    asking.inquiries.on_link_lost(OTHER)
    asking.inquiries.ask_drained(OTHER)
    assert asking.links[OTHER].said() == [OTHER, OTHER]


async def test_we_ask_ourselves_as_we_drain(asking: Asking) -> None:
    asking.inquiries.on_members(draining(US))
    asking.inquiries.ask_drained(US)
    assert [node for node, _ in asking.pages.counting] == [US]
    asking.counted(US)
    said = DrainSaid(
        is_reached=True, pages_foreign=20, pages_foreign_max=20, pages_own_elsewhere=3,
        pages_owned=10, clients=5,
    )  # fmt: skip
    assert asking.inquiries.drains_said() == {US: said}


async def test_one_answer_is_of_use_to_a_removal_and_a_drain(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    removal = asking.inquiries.ask(OTHER)
    asking.inquiries.ask_drained(OTHER)
    asking.inquiries.on_holdings(OTHER, of_peer(OTHER))
    assert removal.answers == {OTHER: of_peer(OTHER)}
    assert asking.inquiries.drains_said()[OTHER].pages_foreign == 1


async def test_what_was_said_of_an_earlier_drain_counts_no_more(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    asking.inquiries.ask_drained(OTHER)
    asking.inquiries.on_holdings(OTHER, of_peer(OTHER))
    asking.inquiries.on_members(draining(ONE, OTHER))
    assert asking.inquiries.drains_said()[OTHER].pages_foreign == 1, "another node changed"
    asking.inquiries.on_members(draining(OTHER, number=6))
    assert asking.inquiries.drains_said() == {OTHER: DrainSaid(is_reached=True)}
    asking.inquiries.on_members(CLUSTER)
    assert asking.inquiries.drains_said() == {}


async def test_a_node_that_drains_tells_each_peer_how_many_pages_there_were_at_most(
    asking: Asking,
) -> None:
    asking.inquiries.on_members(draining(US))
    asking.pages.here = 90
    asking.inquiries.on_ask(US, ONE)
    asking.counted(US)
    asking.pages.here = 40
    asking.inquiries.on_ask(US, US)
    asking.counted(US)
    for node, link in asking.links.items():
        heard = cast("list[Holdings]", link.said())
        assert [(said.pages_here, said.pages_here_max) for said in heard] == [(90, 90), (40, 90)]
        assert [said.is_unasked for said in heard] == [node != ONE, True]
    asking.inquiries.on_members(draining(US, number=6))
    asking.counted(US)
    asking.inquiries.on_members(CLUSTER)
    asking.inquiries.on_ask(US, ONE)
    asking.counted(US)
    last = cast("list[Holdings]", asking.links[ONE].said())[-2:]
    assert [said.pages_here_max for said in last] == [40, 0], "of this drain; and of none"
    assert len(asking.links[OTHER].said()) == 3, "without a drain only who asks is told"


async def test_the_most_is_known_from_the_first_moment_of_a_drain(asking: Asking) -> None:
    asking.inquiries.on_members(draining(US))
    asking.pages.here = 5
    asking.inquiries.on_ask(US, ONE)
    asking.counted(US)
    [said] = cast("list[Holdings]", asking.links[ONE].said())
    assert said.pages_here_max == 20


async def test_what_a_node_that_drains_says_unasked_counts(
    asking: Asking, mock_clock: MockClock
) -> None:
    asking.inquiries.on_members(draining(OTHER))
    unasked = Holdings(OTHER, 3, 2, 9, pages_here_max=30, is_unasked=True)
    asking.inquiries.on_holdings(OTHER, unasked)
    mock_clock.jump(7.0)
    said = asking.inquiries.drains_said()[OTHER]
    assert (said.pages_foreign, said.pages_foreign_max, said.said_seconds) == (9, 30, 7.0)
    asking.inquiries.on_holdings(OTHER, replace(unasked, node=ONE, pages_here=8))
    asking.inquiries.on_holdings(OTHER, Holdings(OTHER, 3, 2, 8))
    assert asking.inquiries.drains_said()[OTHER].pages_foreign == 9, "of before the drain"
    asking.inquiries.on_members(CLUSTER)
    asking.inquiries.on_holdings(OTHER, unasked)
    assert asking.inquiries.drains_said() == {}


async def test_an_answer_that_comes_behind_what_was_told_unasked_counts(asking: Asking) -> None:
    asking.inquiries.on_members(draining(OTHER))
    asking.inquiries.ask_drained(OTHER)
    unasked = Holdings(OTHER, 3, 2, 9, pages_here_max=30, is_unasked=True)
    asking.inquiries.on_holdings(OTHER, unasked)
    assert asking.inquiries.drains_said()[OTHER].pages_foreign == 9
    asking.inquiries.on_holdings(OTHER, Holdings(OTHER, 3, 2, 0, pages_here_max=30))
    assert asking.inquiries.drains_said()[OTHER].pages_foreign == 0


async def test_what_a_node_says_unasked_answers_no_question(asking: Asking) -> None:
    """It may have been counted before the question."""
    unasked = Holdings(OTHER, 3, 2, 9, pages_here_max=30, is_unasked=True)
    removal = asking.inquiries.ask(OTHER)
    asking.inquiries.plan_drain(OTHER)
    asking.inquiries.on_holdings(OTHER, unasked)
    assert removal.answers == {}
    assert asking.inquiries.plan_drain(OTHER) == DrainSaid(is_reached=True)


# Before a drain.


async def test_a_plan_asks_once_and_has_the_answer_later(
    asking: Asking, mock_clock: MockClock
) -> None:
    assert asking.inquiries.plan_drain(OTHER) == DrainSaid(is_reached=True)
    assert asking.inquiries.plan_drain(OTHER) == DrainSaid(is_reached=True)
    assert asking.links[OTHER].said() == [OTHER]
    asking.inquiries.on_holdings(OTHER, of_peer(OTHER, 4))
    said = asking.inquiries.plan_drain(OTHER)
    assert (said.pages_foreign, said.pages_own_elsewhere) == (1, 4)
    mock_clock.jump(PLAN_SECONDS_MAX)
    assert asking.inquiries.plan_drain(OTHER) == DrainSaid(is_reached=True), "that is old"
    assert asking.links[OTHER].said() == [OTHER, OTHER]


async def test_a_plan_for_a_node_without_a_link_says_so(asking: Asking) -> None:
    assert asking.inquiries.plan_drain(STRANGER) == DrainSaid(is_reached=False)


# When a peer asks us.


async def test_who_asks_is_told_when_our_pages_are_counted(asking: Asking) -> None:
    asking.inquiries.on_ask(OTHER, ONE)
    assert asking.links[ONE].said() == []
    asking.counted(OTHER)
    assert asking.links[ONE].said() == [Holdings(OTHER, 3, 32, 22)]
    assert asking.links[OTHER].said() == []
    asking.counted(OTHER)
    assert len(asking.links[ONE].said()) == 1, "it is told once"


async def test_who_asks_twice_begins_one_count_and_is_told_once(asking: Asking) -> None:
    asking.inquiries.on_ask(OTHER, ONE)
    asking.inquiries.on_ask(OTHER, ONE)
    assert len(asking.pages.counting) == 1
    asking.counted(OTHER)
    assert len(asking.links[ONE].said()) == 1


async def test_all_who_ask_about_a_node_are_told_together(asking: Asking) -> None:
    asking.inquiries.on_ask(OTHER, OTHER)
    asking.inquiries.on_ask(OTHER, ONE)
    assert len(asking.pages.counting) == 2, "what was counted before the second asked may be old"
    asking.counted(OTHER)
    assert [len(each.said()) for each in asking.links.values()] == [1, 1]


async def test_who_asks_and_is_gone_is_not_told(asking: Asking) -> None:
    asking.inquiries.on_ask(OTHER, ONE)
    asking.inquiries.on_ask(OTHER, STRANGER)
    del asking.links[ONE]
    asking.counted(OTHER)
    assert asking.links[OTHER].said() == []


async def test_only_of_ourselves_we_say_what_we_own_and_who_uses_us(asking: Asking) -> None:
    asking.inquiries.on_ask(US, ONE)
    asking.inquiries.on_ask(OTHER, ONE)
    asking.counted(US)
    asking.counted(OTHER)
    assert [
        (said.pages_owned, said.clients)
        for said in cast("list[Holdings]", asking.links[ONE].said())
    ] == [(10, 5), (0, 0)]


async def test_before_the_daemon_counts_them_there_are_no_clients(asking: Asking) -> None:
    inquiries = Inquiries(asking.pages, cast("Mapping[NodeId, Link]", asking.links))
    inquiries.on_members(draining(US))
    inquiries.ask_drained(US)
    inquiries.on_counted(Counted(US, last_copies=3))
    assert inquiries.drains_said()[US].clients == 0


# At the end of a drain of ours.


async def test_the_end_of_a_drain_says_once_what_a_stop_ends(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asking.drain_ourselves()
    asking.counted(US)
    assert caplog.messages == [], "pages of others are here"
    asking.pages.here = 0
    asking.counted(US)
    asking.counted(US)
    (said,) = caplog.messages
    assert said.startswith("no pages of other nodes are left here; node node0 still owns 10 pages")
    assert "5 clients" in said


async def test_another_drain_says_it_again(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.pages.here = 0
    asking.drain_ourselves()
    asking.counted(US)
    asking.drain_ourselves(draining=False)
    asking.counted(US)
    assert len(caplog.messages) == 1, "no drain, no end"
    asking.drain_ourselves()
    asking.counted(US)
    assert len(caplog.messages) == 2


async def test_pages_of_others_that_come_back_make_it_news_again(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.drain_ourselves()
    for here in (0, 1, 0):
        asking.pages.here = here
        asking.counted(US)
    assert len(caplog.messages) == 2


async def test_a_node_that_owns_nothing_ends_without_a_word(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.drain_ourselves()
    asking.pages.here = asking.pages.owned = 0
    asking.counted(US)
    assert caplog.messages == []
    asking.pages.owned = 1
    asking.counted(US)
    assert len(caplog.messages) == 1, "now it owns a page"


async def test_another_nodes_end_is_not_ours_to_tell(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.drain_ourselves()
    asking.pages.here = 0
    asking.counted(OTHER)
    assert caplog.messages == []


# Who may have pages anywhere.


async def test_a_node_that_was_heard_and_has_not_left_may_have_pages(asking: Asking) -> None:
    nodes = asking.pages.nodes
    assert not asking.inquiries.may_have_pages(ONE), "it was never heard"
    nodes.on_link_up(ONE, INCARNATION, now=0)
    assert asking.inquiries.may_have_pages(ONE)
    nodes.on_link_lost(ONE, INCARNATION, now=0)
    assert asking.inquiries.may_have_pages(ONE)
    nodes.on_goodbye(ONE, INCARNATION, now=0)
    assert not asking.inquiries.may_have_pages(ONE)
    assert not asking.inquiries.may_have_pages(STRANGER)
