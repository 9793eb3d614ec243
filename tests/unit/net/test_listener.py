from collections.abc import Callable

import pytest
import trio
import trio.testing

from net.errors import LocalProtocolError
from net.listener import Listener, check_plaintext, is_loopback
from net.transport import Stream
from tests.simulation.network import SimNetwork


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_word(address: str) -> None:
    assert is_loopback(address)
    check_plaintext(address, insecure_plaintext=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "node1", ""])  # noqa: S104  refused
def test_every_other_address_needs_a_word(address: str) -> None:
    check_plaintext(address, insecure_plaintext=True)
    with pytest.raises(LocalProtocolError, match="without TLS"):
        check_plaintext(address, insecure_plaintext=False)


async def test_only_those_that_have_not_greeted_count(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    network = SimNetwork()

    async def greet_after_a_second(stream: Stream, greeted: Callable[[], None]) -> str:
        await trio.sleep(1)
        greeted()
        await trio.sleep_forever()

    listener = Listener(network, greet_after_a_second, greetings_max=2)

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await listener.serve("127.0.0.1", 1, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        first, *_ = [await network.dial("127.0.0.1", 1) for _ in range(3)]
        await trio.sleep(0.5)
        assert (len(listener.greetings), listener.greetings.displaced_total) == (2, 1)
        assert await first.receive_into(memoryview(bytearray(8))) == 0, "the oldest gave way"
        (message,) = caplog.messages
        assert message == (
            "connection from an unknown address ended after 0.0 s without a link:"
            " closed to make room: too many connections without a greeting, most of them from this address"
        )
        await trio.sleep(1)
        assert len(listener.greetings) == 0
        await network.dial("127.0.0.1", 1)
        await trio.sleep(0.5)
        assert (len(listener.greetings), listener.greetings.displaced_total) == (1, 1)
        nursery.cancel_scope.cancel()


async def test_a_failing_link_gives_its_place_back(autojump_clock: trio.testing.MockClock) -> None:
    network = SimNetwork()

    async def fail(stream: Stream, greeted: Callable[[], None]) -> str:
        raise ZeroDivisionError

    listener = Listener(network, fail)

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await listener.serve("127.0.0.1", 1, task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        await network.dial("127.0.0.1", 1)
        await trio.testing.wait_all_tasks_blocked()
        assert len(listener.greetings) == 0
        nursery.cancel_scope.cancel()
