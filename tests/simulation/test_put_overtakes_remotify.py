"""A page that is put again or flushed while its older version is on its way to a peer."""

from trio.testing import MockClock

from ramsterd.remote.wire import MessageType
from tests.simulation.checking_clients import finish, stage


async def test_put_overtakes_remotify(seed: int, mock_clock: MockClock) -> None:
    """The older remote copy never wins, and the peer is told to drop it."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(0, 1)
    client.fill_beyond_memory(start=0)
    for index in cluster.rng.sample(client.in_flight(), 20):
        client.put(index)
    cluster.let_go(0, 1)
    finish(cluster, client)
    assert cluster[0].engine.statistics().remotify.overtaken_pages_total == 20


async def test_put_overtakes_the_answer(seed: int, mock_clock: MockClock) -> None:
    """The same when the peer has stored the older version already, and only its answer is under way."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(1, 0)
    client.fill_beyond_memory(start=0)
    cluster.run(0.1)
    assert (MessageType.PUT_PAGES, True) in [(kind, is_reply) for kind, is_reply, _ in
                                             cluster.on_its_way(1, 0)]  # fmt: skip
    chosen = cluster.rng.sample(client.in_flight(), 20)
    for index in chosen[:10]:
        client.put(index)
    for index in chosen[10:]:
        client.flush(index)
    cluster.let_go(1, 0)
    finish(cluster, client)
    assert cluster[0].engine.statistics().remotify.overtaken_pages_total == 20


async def test_flush_overtakes_remotify(seed: int, mock_clock: MockClock) -> None:
    """A page that was flushed on the way stays flushed, and leaves nothing at the peer."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(0, 1)
    client.fill_beyond_memory(start=0)
    for index in client.in_flight():
        client.flush(index)
    cluster.let_go(0, 1)
    finish(cluster, client)
