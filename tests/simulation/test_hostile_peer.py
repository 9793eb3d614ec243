"""Peers that lie: their link is dropped, and nobody else notices."""

from collections.abc import Callable, Iterable, Sequence

import pytest
from trio.testing import MockClock

from net.frame import Flag, encode_header
from net.packing import pack_fields
from nodemanager.ids import NodeId
from ramsterd.core.codec import PACKED_RAW, ZPAGE_BYTES_MASK
from ramsterd.core.page import PoolKind
from ramsterd.membership.messages import MemberMessage, ask_message
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType
from tests.helpers.links import make_frame
from tests.simulation.checking_clients import finish, stage
from tests.simulation.cluster import Cluster, Node

PUT_TABLE = wire.put_table(PoolKind.PERSISTENT, [1, 2], [3, 4], [PACKED_RAW, 100])
LIES = {
    "a body of 4 GiB": encode_header(MessageType.PUT_PAGES, count=1, body_bytes=0xFFFF_FFFF),
    "a table longer than its type allows": encode_header(
        MessageType.GET_PAGES, count=1, table_bytes=wire.LIMITS[18].table_bytes_max + 1
    ),
    "more pages than a frame may have": encode_header(MessageType.PUT_PAGES, count=129),
    "zpages shorter than the table says": make_frame(17, 2, PUT_TABLE, bytes(4195), request_id=1),
    "zpages longer than the table says": make_frame(17, 2, PUT_TABLE, bytes(4197), request_id=1),
    "a count that the table does not have": make_frame(17, 3, PUT_TABLE, bytes(4196), request_id=1),
    "serial 0": make_frame(18, 1, bytes(8), request_id=1),
    "a range that ends before it starts": make_frame(19, 1, wire.flush_table([(5, 4)])),
    "ranges that share a serial": make_frame(19, 2, wire.flush_table([(1, 5), (5, 9)])),
    "ranges that do not ascend": make_frame(19, 2, wire.flush_table([(7, 9), (1, 5)])),
    "a get of nothing": make_frame(18, 0, b"", request_id=1),
    "a request without an id": make_frame(18, 1, wire.get_table([1])),
    "an unknown type": encode_header(99),
    "an unknown flag": encode_header(18).replace(b"\x12\0", bytes([18, Flag.REPLY << 1]), 1),
    "a status with more free than there is": make_frame(
        16, 1, pack_fields([1, 2, True, 0.5, 0, 0])
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_hostile_lengths_drop_the_link(seed: int, mock_clock: MockClock, lie: str) -> None:
    """Whatever does not fit ends the link that brought it, at once; the others go on, and it may come back."""
    cluster, client = stage(seed, mock_clock, nodes=3)
    cluster.end_of(1, 0).outgoing.send_nowait([LIES[lie]])
    cluster.run(0.1)
    assert not cluster.is_linked(0, 1)
    assert cluster.is_linked(0, 2)
    client.put(0, 8)
    cluster.link(0, 1)
    finish(cluster, client)


def other_type(kind: int, count: int, table: bytes, body: bytes, request_id: int) -> bytes:
    other = MessageType.GET_PAGES if kind == MessageType.PUT_PAGES else MessageType.PUT_PAGES
    return make_frame(other, count, table, body, request_id=request_id, is_reply=True)


def member_type(kind: int, count: int, table: bytes, body: bytes, request_id: int) -> bytes:
    """A good message about members, marked as the answer."""
    return make_frame(
        MemberMessage.ASK, 1, ask_message(NodeId(0)), request_id=request_id, is_reply=True
    )


def another_count(kind: int, count: int, table: bytes, body: bytes, request_id: int) -> bytes:
    width = len(table) // count
    return make_frame(kind, count - 1, table[:-width], body, request_id=request_id, is_reply=True)


def longer_body(kind: int, count: int, table: bytes, body: bytes, request_id: int) -> bytes:
    return make_frame(kind, count, table, body + b"x", request_id=request_id, is_reply=True)


def broken_table(kind: int, count: int, table: bytes, body: bytes, request_id: int) -> bytes:
    return make_frame(kind, count, b"\xff" * len(table), body, request_id=request_id, is_reply=True)


def answers_with(lie: Callable[..., bytes], liar: Node) -> None:
    """Make a node lie in all its answers."""
    link = next(iter(liar.peers.mesh.links.values()))

    def post(
        kind: int,
        *,
        count: int,
        table: bytes,
        body: Sequence[bytes],
        request_id: int,
        is_reply: bool,
    ) -> None:
        if is_reply:
            data = lie(kind, count, table, b"".join(body), request_id)
            link._queue.add(data)  # type: ignore[attr-defined]  # a PeerLink

    link.post = post  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("lie", [other_type, member_type, another_count, longer_body, broken_table])
async def test_answers_that_do_not_fit_leave_no_request_behind(
    seed: int, mock_clock: MockClock, lie: Callable[..., bytes]
) -> None:
    """The pages stay wanted, or ours, and are served when the peer is sane again."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    answers_with(lie, cluster[1])
    gets = [client.get(index) for index in client.remote(1)[:30]]
    puts = [client.put(3000 + index, 16) for index in range(0, 128, 16)]
    cluster.run(0.3)
    assert not cluster.is_linked(0, 1)
    statistics = cluster[0].engine.statistics()
    assert not statistics.fetch.requests_in_flight
    assert not statistics.remotify.requests_in_flight
    cluster[0].engine.check_invariants()
    cluster.link(0, 1)
    finish(cluster, client)
    assert all(get.result is not None for get in gets)
    assert all(put.outcome is not None for put in puts)


def flip_bits(node: Node, rows: list[int], cluster: Cluster) -> None:
    """Flip one bit of each row's zpage in a node's arena."""
    store = node.engine.store
    for row in rows:
        zbytes = store.rows.packed(row) & ZPAGE_BYTES_MASK
        offset = store.zbud.offset(store.rows.location(row)) + cluster.rng.randrange(zbytes)
        store.zbud.arena[offset] ^= 1 << cluster.rng.randrange(8)


def raw_ones(indexes: Iterable[int]) -> list[int]:
    """Return 20 pages that do not pack: to lz4 a flipped bit may mean the same page."""
    return [index for index in indexes if index % 4 == 3][:20]


async def test_flipped_bit_is_caught(seed: int, mock_clock: MockClock) -> None:
    """A page that a holder damaged is lost, and said to be: never served, and dropped at the holder."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    chosen = raw_ones(client.remote(1))
    flip_bits(cluster[1], client.foreign_rows(1, chosen), cluster)
    client.losable |= set(chosen)
    finish(cluster, client)
    assert client.seen["LOST"] == 20
    assert cluster[0].engine.statistics().fetch.corrupt_pages_total == 20


async def test_flipped_bit_of_our_own_is_caught(seed: int, mock_clock: MockClock) -> None:
    """A page that is only here is lost; of a clean copy the peer still has the page."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    client.flush(1500, 100)
    clean = client.remote(1)[:30]
    for index in clean:
        client.wait(client.get(index))
    chosen = raw_ones(range(1400, 1500))
    flip_bits(cluster[0], client.rows([*clean, *chosen]), cluster)
    client.losable |= set(chosen)
    finish(cluster, client)
    assert client.seen["LOST"] == 20


async def test_a_holder_without_the_page_is_not_asked_for_ever(
    seed: int, mock_clock: MockClock
) -> None:
    """It says missing; with one copy that is a loss, told once and counted."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.checks.clear()
    gone = client.on_holder_lost(1)
    cluster[1].engine.machines.foreign.purge(cluster[0].number)
    finish(cluster, client)
    assert client.seen["LOST"] == len(gone)
    # Its next STATUS says that it keeps nothing of ours, so most are known to be lost before they are asked for.
    assert cluster[0].engine.statistics().store.lost_pages_total == len(gone)
