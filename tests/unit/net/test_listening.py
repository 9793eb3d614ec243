"""Listeners that open and close as a node moves, over a network in memory that has some addresses only."""

import errno
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from net.errors import PeerLost
from net.listener import Listener
from net.listening import Listening
from net.transport import Closing, PortStatus, Stream
from tests.simulation.network import SimNetwork

OURS = ("10.0.0.1", "10.0.0.2", "fd00::1")
FOREIGN = "192.0.2.9"
PORT = 7700


class Machine(SimNetwork):
    """Listens at its own addresses alone."""

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[[Stream], Awaitable[None]],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        if address not in OURS:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        await super().listen(address, port, accept, task_status=task_status, closing=closing)


class Host:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.machine = Machine()
        self.listening = Listening(Listener(self.machine, self._run), nursery)

    async def _run(self, _stream: Stream, greeted: Callable[[], None]) -> str:
        greeted()
        await trio.Event().wait()
        return "over"

    async def answers(self, address: str, port: int = PORT) -> bool:
        try:
            stream = await self.machine.dial(address, port)
        except PeerLost:
            return False
        stream.close()
        return True


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with trio.open_nursery() as nursery:
        yield Host(nursery)
        nursery.cancel_scope.cancel()


async def test_a_node_listens_at_those_of_its_addresses_that_its_machine_has(host: Host) -> None:
    await host.listening.listen_at(["fd00::1", FOREIGN, "10.0.0.1"], PORT)
    assert host.listening.places() == [("fd00::1", PORT), ("10.0.0.1", PORT)]
    assert await host.answers("fd00::1")
    assert await host.answers("10.0.0.1")


async def test_after_a_move_the_old_address_is_closed_and_one_that_stays_is_not_touched(
    host: Host,
) -> None:
    await host.listening.listen_at(["10.0.0.1", "fd00::1"], PORT)
    await host.listening.listen_at(["10.0.0.2", "fd00::1"], PORT)
    assert await host.answers("10.0.0.2")
    assert await host.answers("fd00::1")
    await trio.testing.wait_all_tasks_blocked()
    assert not await host.answers("10.0.0.1")


async def test_a_connection_that_was_accepted_outlives_its_listener(host: Host) -> None:
    await host.listening.listen_at(["10.0.0.1"], PORT)
    stream = await host.machine.dial("10.0.0.1", PORT)
    await host.listening.listen_at(["10.0.0.2"], PORT)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(0.01) as waiting:
        await stream.receive_into(memoryview(bytearray(1)))
    assert waiting.cancelled_caught, "nobody has closed it"
    stream.close()


async def test_a_move_to_an_address_of_another_machine_changes_nothing(host: Host) -> None:
    await host.listening.listen_at(["10.0.0.1"], PORT)
    with pytest.raises(OSError, match="Cannot assign"):
        await host.listening.listen_at([FOREIGN], PORT)
    assert host.listening.places() == [("10.0.0.1", PORT)]
    assert await host.answers("10.0.0.1")


async def test_a_port_that_is_taken_at_one_address_changes_nothing(host: Host) -> None:
    await host.listening.listen_at(["10.0.0.1"], PORT)
    async with trio.open_nursery() as nursery:
        other = Listening(Listener(host.machine, host._run), nursery)
        await other.listen_at(["fd00::1"], 7701)
        with pytest.raises(OSError, match="in use"):
            await host.listening.listen_at(["10.0.0.2", "fd00::1"], 7701)
        assert host.listening.places() == [("10.0.0.1", PORT)]
        await trio.testing.wait_all_tasks_blocked()
        assert not await host.answers("10.0.0.2", 7701)
        nursery.cancel_scope.cancel()
