"""Pages of a benchmark at a peer: real engines and links, over a network in memory and in virtual time."""

import random

import pytest
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN, PAGE_BYTES
from nodemanager.changes import Cordon
from nodemanager.ids import NodeId
from ramsterd.core.codec import encode_page
from ramsterd.core.page import CorruptPage
from ramsterd.pagepath.bench_link import FLUSHED_PAGES, BenchLink, NoBench, Zpage
from ramsterd.remote.bench_requests import BENCH_IN_FLIGHT_MAX
from tests.helpers import columns
from tests.helpers.sim_nodes import SimNode, eventually, run_nodes

PEER = NodeId(2)
BUDGET = 8 * BUDGET_BYTES_MIN


def zpages(count: int, seed: int = 0) -> list[Zpage]:
    rng = random.Random(seed)
    return [
        encode_page(rng.randbytes(PAGE_BYTES // 2).ljust(PAGE_BYTES, b"\0")) for _ in range(count)
    ]


def link_of(node: SimNode, *, pages_max: int = 16, bytes_max: int = 1 << 20) -> BenchLink:
    return BenchLink(node.engine.machines, PEER, pages_max=pages_max, bytes_max=bytes_max)


async def put(node: SimNode, link: BenchLink, pages: list[Zpage]) -> bytes | None:
    answers: list[bytes | None] = []
    link.put(pages, answers.append)
    node.peers.settle()
    await eventually(lambda: answers)
    return answers[0]


async def test_pages_are_put_asked_for_and_flushed_and_no_other_page_is_touched(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, peer]:
        assert node.put(0, b"x" * PAGE_BYTES) is not None
        before = node.engine.store.statistics()
        link = link_of(node)
        assert await put(node, link, zpages(8)) == bytes(8)
        assert peer.pages_here() == 8
        assert node.engine.store.statistics() == before, "no row names them"
        got: list[int] = []
        serials = list(link.serials)
        link.get(serials, lambda answer: got.append(link.decode(serials, *answer or ([], b""))))
        node.peers.settle()
        await eventually(lambda: got)
        assert got == [8]
        link.end()
        node.peers.settle()
        await eventually(lambda: peer.pages_here() == 0)
        for each in (node, peer):
            each.engine.check_invariants()


async def test_no_more_stay_than_were_asked_for_and_some_in_company(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, peer]:
        link = link_of(node, pages_max=16)
        for seed in range(2 * FLUSHED_PAGES // 8):
            assert await put(node, link, zpages(8, seed)) == bytes(8)
            assert len(link.serials) < 16 + FLUSHED_PAGES + 8
        await eventually(lambda: peer.pages_here() == len(link.serials))
        link.end()
        node.peers.settle()
        await eventually(lambda: peer.pages_here() == 0)


async def test_a_page_that_came_back_damaged_is_no_page(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, _]:
        link = link_of(node)
        await put(node, link, zpages(1))
        packed, zpage, _ = zpages(1, seed=9)[0]
        with pytest.raises(CorruptPage):
            link.decode(link.serials, [packed], memoryview(zpage))
        assert link.decode(link.serials, [0], memoryview(b"")) == 0, "missing is not damaged"
        link.end()


async def test_a_peer_that_dropped_them_has_none_and_is_not_blamed(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, peer]:
        link = link_of(node)
        await put(node, link, zpages(4))
        peer.engine.machines.foreign.on_flush(
            node.number, *columns.of_ranges((min(link.serials), max(link.serials)))
        )
        peer.peers.settle()
        await eventually(lambda: peer.pages_here() == 0)
        got: list[int] = []
        serials = list(link.serials)
        link.get(serials, lambda answer: got.append(link.decode(serials, *answer or ([1], b""))))
        node.peers.settle()
        await eventually(lambda: got)
        assert got == [0]
        assert not node.engine.machines.trust.to_check
        link.end()


async def test_a_lost_link_ends_requests_and_what_is_there_goes_when_it_is_back(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, peer]:
        link = link_of(node)
        await put(node, link, zpages(4))
        answers: list[object] = []
        for _ in range(BENCH_IN_FLIGHT_MAX):
            link.put(zpages(1), answers.append)
        node.peers.settle()
        node.net.streams.connections[-1].cut()
        await eventually(lambda: len(answers) == BENCH_IN_FLIGHT_MAX)
        assert set(answers) == {None}
        assert link.in_flight == 0
        link.end()
        node.peers.settle()
        await eventually(lambda: node.engine.nodes.is_linked(PEER))
        await eventually(lambda: peer.pages_here() == 0)
        for each in (node, peer):
            each.engine.check_invariants()


async def test_a_cordoned_peer_gets_no_pages_of_a_benchmark_either(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, _]:
        node.peers.members.change(Cordon(PEER, is_cordoned=True))
        with pytest.raises(NoBench, match="cordoned or draining: it gets no pages"):
            link_of(node)


async def test_a_node_that_leaves_puts_nothing_more(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET, BUDGET) as [node, _]:
        link = link_of(node)
        found = [link.is_over]
        node.engine.farewell()
        found.append(link.is_over)
        assert found == [False, True]
        node.peers.settle()


async def test_a_peer_without_a_link_or_without_room_is_not_measured(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(BUDGET, BUDGET_BYTES_MIN) as [node, _]:
        with pytest.raises(NoBench, match="nearly full: repeat with fewer --bytes"):
            link_of(node, bytes_max=BUDGET_BYTES_MIN)
        node.net.streams.connections[-1].cut()
        await eventually(lambda: not node.engine.nodes.is_linked(PEER))
        with pytest.raises(NoBench, match="no link"):
            link_of(node)
        with pytest.raises(NoBench, match="no link"):
            BenchLink(node.engine.machines, NodeId(9), pages_max=1, bytes_max=1)
