"""Names that are looked up, and a node that moves: the lookups and the listeners are played, in virtual time."""

import errno
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from config.lookup import NameNotFound
from config.model import ClusterConfig
from heartbeat.routes import Endpoint
from nodemanager.ids import NodeId
from ramsterd.host.lookups import Lookups
from ramsterd.membership.address_book import FRESH_SECONDS, SETTLED_SECONDS
from ramsterd.membership.addresses import RETRY_SECONDS, Addresses
from tests.helpers.named_members import NAMED, ONE, US, with_addresses


class Names(Lookups):
    """Answers at once, and without threads."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, tuple[str, ...]] = {}
        self.asked: list[str] = []

    async def find(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        await trio.lowlevel.checkpoint()
        if host not in self.known:
            raise NameNotFound(host, "Name or service not known")
        return self.known[host]


class Node:
    """Node 0 of three; `ours` are the addresses of its machine."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self.names = Names()
        self.up: set[NodeId] = set()
        self.addresses = Addresses(cluster, US, is_up=self.up.__contains__, lookups=self.names)
        self.addresses.on_endpoints = self._on_endpoints
        self.endpoints: list[dict[NodeId, tuple[Endpoint, ...]]] = []
        self.ours = {"127.0.0.1"}
        self.places = [("127.0.0.1", 7700)]
        self.tries = 0

    def _on_endpoints(self, endpoints: dict[NodeId, tuple[Endpoint, ...]]) -> None:
        self.endpoints.append(endpoints)

    async def listen_at(self, addresses: Sequence[str], port: int) -> None:
        self.tries += 1
        await trio.lowlevel.checkpoint()
        places = [(address, port) for address in addresses if address in self.ours]
        if not places:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        self.places = places


@asynccontextmanager
async def following(cluster: ClusterConfig = NAMED, **known: str) -> AsyncIterator[Node]:
    node = Node(cluster)
    node.names.known = {f"{name}.example": (address,) for name, address in known.items()}
    async with trio.open_nursery() as nursery:
        await nursery.start(node.addresses.run)
        nursery.start_soon(node.addresses.follow, node.listen_at, lambda: node.places)
        await trio.testing.wait_all_tasks_blocked()
        yield node
        nursery.cancel_scope.cancel()


async def test_all_names_are_looked_up_at_the_start_and_heartbeats_hear_of_them(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with following(one="10.0.0.1") as node:
        assert node.endpoints[-1][ONE] == (("10.0.0.1", 7701),)
        assert sorted(node.names.asked) == ["one.example", "two.example"]
    assert "the name one.example is 10.0.0.1" in caplog.messages
    assert "the name two.example has no address here: Name or service not known" in caplog.messages


async def test_a_name_that_stays_unknown_is_said_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(one="10.0.0.1") as node:
        await trio.sleep(10 * FRESH_SECONDS)
        assert node.names.asked.count("two.example") >= 9
    assert len([each for each in caplog.messages if "two.example" in each]) == 1


async def test_a_name_of_a_node_that_is_up_is_looked_up_seldom(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with following(one="10.0.0.1", two="10.0.0.2") as node:
        node.up = {ONE, NodeId(2)}
        node.addresses._is_up = node.up.__contains__
        asked = len(node.names.asked)
        await trio.sleep(SETTLED_SECONDS - FRESH_SECONDS)
        assert len(node.names.asked) == asked
        await trio.sleep(3 * FRESH_SECONDS)
        assert len(node.names.asked) == asked + 2


async def test_a_new_connection_uses_what_was_found_a_moment_ago(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with following(one="10.0.0.1", two="10.0.0.2") as node:
        asked = len(node.names.asked)
        assert await node.addresses.resolve("one.example") == ("10.0.0.1",)
        assert await node.addresses.resolve("192.0.2.1") == ("192.0.2.1",)
        assert len(node.names.asked) == asked


async def test_a_name_that_moved_is_found_with_the_next_connection(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with following(one="10.0.0.1", two="10.0.0.2") as node:
        node.names.known["one.example"] = ("10.0.0.9",)
        await trio.sleep(FRESH_SECONDS + 1)
        assert await node.addresses.resolve("one.example") == ("10.0.0.9",)
        assert node.endpoints[-1][ONE] == (("10.0.0.9", 7701),)
    assert "the name one.example is 10.0.0.9, was 10.0.0.1" in caplog.messages


async def test_a_name_server_that_is_away_costs_no_address_that_was_known(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(one="10.0.0.1", two="10.0.0.2") as node:
        node.names.known.clear()
        await trio.sleep(FRESH_SECONDS + 1)
        assert await node.addresses.resolve("one.example") == ("10.0.0.1",)
        rows = node.addresses.statistics().names
        assert {row.problem for row in rows} == {"Name or service not known"}
    assert any("10.0.0.1, found before, stays in use" in each for each in caplog.messages)


async def test_a_name_that_nobody_ever_found_is_no_address(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with following() as node:
        with pytest.raises(NameNotFound, match=r"one\.example has no address here"):
            await node.addresses.resolve("one.example")


async def test_a_node_that_is_moved_listens_there_at_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with following(with_addresses()) as node:
        assert node.tries == 0, "it is where the file says"
        node.ours.add("10.0.0.7")
        node.addresses.on_members(with_addresses(node0="10.0.0.7"))
        await trio.testing.wait_all_tasks_blocked()
        assert node.places == [("10.0.0.7", 7700)]
        assert node.addresses.statistics().listens_at == ("10.0.0.7:7700",)
    assert "links and heartbeat of this node are at 10.0.0.7:7700 now" in caplog.messages


async def test_an_address_that_the_machine_does_not_have_yet_is_tried_until_it_has(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(with_addresses()) as node:
        node.addresses.on_members(with_addresses(node0="10.0.0.7"))
        await trio.sleep(5 * RETRY_SECONDS)
        assert node.places == [("127.0.0.1", 7700)]
        assert "can't listen at 10.0.0.7:7700" in node.addresses.statistics().problem
        node.ours.add("10.0.0.7")
        await trio.sleep(RETRY_SECONDS)
        assert node.places == [("10.0.0.7", 7700)]
        assert node.addresses.statistics().problem == ""
    (warning,) = [each for each in caplog.messages if "can't listen" in each]
    assert (
        "Cannot assign requested address; this node listens at 127.0.0.1:7700 until it can"
        in warning
    )


async def test_a_move_that_is_taken_back_is_over(autojump_clock: trio.testing.MockClock) -> None:
    async with following(with_addresses()) as node:
        node.addresses.on_members(with_addresses(node0="10.0.0.7"))
        await trio.testing.wait_all_tasks_blocked()
        node.addresses.on_members(with_addresses())
        await trio.testing.wait_all_tasks_blocked()
        assert node.addresses.statistics().problem == ""


async def test_a_node_that_is_removed_stays_where_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with following(with_addresses()) as node:
        node.addresses.on_members(replace(NAMED, node=()))
        await trio.testing.wait_all_tasks_blocked()
        assert node.tries == 0


async def test_our_own_name_is_followed_too(autojump_clock: trio.testing.MockClock) -> None:
    async with following(with_addresses(node0="us.example"), us="127.0.0.1") as node:
        assert await node.addresses.own() == (("127.0.0.1",), 7700)
        assert node.tries == 0
        node.ours.add("10.0.0.7")
        node.names.known["us.example"] = ("10.0.0.7",)
        await trio.sleep(SETTLED_SECONDS + 2 * FRESH_SECONDS)
        assert node.places == [("10.0.0.7", 7700)]


async def test_without_an_address_of_our_own_there_is_no_start() -> None:
    node = Node(with_addresses(node0="us.example"))
    with pytest.raises(NameNotFound, match=r"us\.example has no address here") as caught:
        await node.addresses.own()
    assert caught.value.filename == "us.example:7700"
