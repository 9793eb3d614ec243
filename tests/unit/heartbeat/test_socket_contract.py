"""What every `DatagramSocket` promises, held against the real one and the simulated one."""

import random
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from heartbeat.routes import Endpoint
from heartbeat.udp import UdpSocket
from tests.fakes.datagram_network import SimDatagramNetwork, SimDatagramSocket

pytestmark = pytest.mark.system

AnySocket = UdpSocket | SimDatagramSocket
Pair = tuple[AnySocket, AnySocket]


@pytest.fixture(params=["udp", "simulated"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    here: AnySocket
    there: AnySocket
    if request.param == "udp":
        here = UdpSocket(["127.0.0.1"], 0, allow_remote=False)
        there = UdpSocket(["127.0.0.1"], 0, allow_remote=False)
    else:
        network = SimDatagramNetwork(rng=random.Random(0))
        here, there = network.bind(("127.0.0.1", 1)), network.bind(("127.0.0.1", 2))
    yield here, there
    here.close()
    there.close()


async def test_a_datagram_arrives_whole_with_its_source(pair: Pair) -> None:
    here, there = pair
    here.send_to(b"beat", there.endpoint)
    with trio.fail_after(20):
        await there.wait_readable()
    assert there.receive_from() == (b"beat", here.endpoint)


async def test_datagrams_wait_until_they_are_read_one_by_one(pair: Pair) -> None:
    here, there = pair
    for datagram in (b"1", b"2", b"3"):
        here.send_to(datagram, there.endpoint)
    received: list[tuple[bytes, Endpoint] | None] = []
    with trio.fail_after(20):
        while len(received) < 3:
            await there.wait_readable()
            received.append(there.receive_from())
    assert received == [(datagram, here.endpoint) for datagram in (b"1", b"2", b"3")]


async def test_nothing_arrived_is_none_and_not_an_error(pair: Pair) -> None:
    here, _ = pair
    assert here.receive_from() is None


async def test_nobody_listening_is_not_an_error(pair: Pair) -> None:
    here, there = pair
    target = there.endpoint
    there.close()
    for _ in range(3):
        here.send_to(b"beat", target)
    assert here.receive_from() is None


async def test_waiting_waits_until_something_arrives(pair: Pair) -> None:
    here, there = pair
    with trio.move_on_after(0) as scope:
        await there.wait_readable()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(there.wait_readable)
        await trio.testing.wait_all_tasks_blocked()
        here.send_to(b"beat", there.endpoint)
    assert there.receive_from() is not None


async def test_after_a_move_datagrams_arrive_at_the_new_address_and_leave_from_it(
    pair: Pair,
) -> None:
    here, there = pair
    old = there.endpoint
    there.listen_at(["127.0.0.2"], 0)
    assert there.endpoint[0] == "127.0.0.2"
    here.send_to(b"old", old)
    here.send_to(b"new", there.endpoint)
    with trio.fail_after(20):
        await there.wait_readable()
    assert there.receive_from() == (b"new", here.endpoint)
    assert there.receive_from() is None
    there.send_to(b"answer", here.endpoint)
    with trio.fail_after(20):
        await here.wait_readable()
    assert here.receive_from() == (b"answer", there.endpoint)


async def test_closing_wakes_who_waits(pair: Pair) -> None:
    here, _ = pair

    async def close_soon() -> None:
        await trio.testing.wait_all_tasks_blocked()
        here.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_soon)
        with pytest.raises(trio.ClosedResourceError):
            await here.wait_readable()
