"""What a node's STATUS says, and to whom."""

from dataclasses import dataclass, field

import pytest

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.pagepath.effects import Send
from ramsterd.pagepath.outbox import Outbox
from ramsterd.pagepath.own_status import OwnStatus
from ramsterd.remote import wire
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.receive_shares import ReceiveShares
from ramsterd.remote.wire import MessageType, PutResult
from tests.helpers.clusters import cluster_of
from tests.helpers.foreign_puts import INCARNATION, ONE, OTHER, put, run_all
from tests.helpers.made_pages import MIB, joined, make_run, make_store

BUDGET = 2 * MIB
LOW_WATERMARK = 0.85
BYTES_PER_SECOND = 8000


@dataclass
class Teller:
    """A node with two peers, and all that its STATUS is made of."""

    store: Store = field(default_factory=lambda: make_store(BUDGET))
    owner_pages_max: int = 0

    def __post_init__(self) -> None:
        self.nodes = NodeTable(cluster_of(3), NodeId(0), incarnation=Incarnation(9))
        self.foreign = ForeignPages(
            self.store, run=run_all, bytes_fraction_max=1.0, owner_pages_max=self.owner_pages_max
        )
        self.shares = ReceiveShares(BYTES_PER_SECOND)
        self.outbox = Outbox(request_seconds_max=1.0)
        self.status = OwnStatus(self.store, self.nodes, self.foreign, self.shares, self.outbox)

    def link(self, *nodes: NodeId) -> None:
        for node in nodes:
            self.nodes.on_link_up(node, INCARNATION, now=0.0)

    def fill(self, pages: int) -> None:
        """Put raw pages of our own."""
        pool = self.store.new_pool(PoolKind.PERSISTENT, export_pool("disk"))
        assert self.store.put(pool, b"", 0, joined(make_run(PAGE_BYTES, pages))) == pages

    def told(self) -> dict[NodeId, PeerStatus]:
        """Return what each peer was told, as it reads it."""
        found: dict[NodeId, PeerStatus] = {}
        for effect in self.outbox.take():
            assert isinstance(effect, Send)
            assert (effect.type, effect.count) == (MessageType.STATUS, 1)
            assert effect.node not in found
            frame = Frame(effect.type, False, 0, 1, memoryview(effect.table), memoryview(b""))
            found[effect.node] = wire.parse_status(frame)
        return found

    def tell(self, node: NodeId = ONE, now: float = 0.0) -> PeerStatus:
        self.status.send(node, now)
        return self.told()[node]


@pytest.fixture
def teller() -> Teller:
    teller = Teller()
    teller.link(ONE, OTHER)
    return teller


def test_an_empty_node_has_room_up_to_the_low_watermark(teller: Teller) -> None:
    assert teller.status.is_accepting
    assert teller.tell() == PeerStatus(
        budget_bytes=BUDGET,
        free_bytes=int(BUDGET * LOW_WATERMARK),
        is_accepting=True,
        pressure=0.0,
        pages_held_for_us=0,
        put_bytes_per_second=BYTES_PER_SECOND // 2 // 2,
    )


def test_all_peers_are_told_that_are_linked() -> None:
    teller = Teller()
    teller.status.send_to_all(0.0)
    assert teller.told() == {}
    teller.link(OTHER)
    teller.status.send(ONE, 0.0)
    assert teller.told() == {}
    teller.status.send_to_all(0.0)
    assert set(teller.told()) == {OTHER}
    teller.link(ONE)
    teller.status.send_to_all(0.0)
    assert set(teller.told()) == {ONE, OTHER}


def test_pages_of_our_own_are_pressure_and_leave_less_room(teller: Teller) -> None:
    teller.fill(256)
    status = teller.tell()
    assert status.pressure == 0.5
    assert status.free_bytes == int(BUDGET * LOW_WATERMARK) - BUDGET // 2
    assert status.is_accepting


def test_a_full_node_accepts_nothing(teller: Teller) -> None:
    teller.fill(480)
    assert not teller.status.is_accepting
    status = teller.tell()
    assert (status.free_bytes, status.is_accepting) == (0, False)


def test_while_the_budget_shrinks_the_pressure_is_no_more_than_a_peer_believes(
    teller: Teller,
) -> None:
    teller.fill(480)
    teller.store.zbud.set_budget(MIB)
    assert teller.store.zbud.resident_bytes > teller.store.zbud.budget_bytes
    status = teller.tell()
    assert (status.budget_bytes, status.pressure) == (MIB, 1.0)


def test_each_peer_is_told_of_its_own_pages(teller: Teller) -> None:
    assert set(put(teller.foreign, PoolKind.PERSISTENT, range(1, 33))) == {PutResult.STORED}
    assert set(put(teller.foreign, PoolKind.EPHEMERAL, range(1, 17), owner=OTHER)) == {
        PutResult.STORED
    }
    teller.status.send_to_all(0.0)
    told = teller.told()
    assert {node: each.pages_held_for_us for node, each in told.items()} == {ONE: 32, OTHER: 16}


def test_an_owner_at_its_quota_is_refused_and_no_other() -> None:
    teller = Teller(owner_pages_max=16)
    teller.link(ONE, OTHER)
    assert teller.tell().free_bytes == 16 * PAGE_BYTES
    put(teller.foreign, PoolKind.PERSISTENT, range(1, 17))
    teller.status.send_to_all(0.0)
    told = teller.told()
    assert (told[ONE].free_bytes, told[ONE].is_accepting) == (0, False)
    assert (told[OTHER].free_bytes, told[OTHER].is_accepting) == (16 * PAGE_BYTES, True)
    assert teller.status.is_accepting, "pages of others are welcome"


def test_a_starved_node_has_room_and_accepts_nothing_until_that_is_over(teller: Teller) -> None:
    for is_starved in (True, False):
        teller.status.is_starved = is_starved
        assert teller.status.is_accepting is not is_starved
        status = teller.tell()
        assert (status.free_bytes > 0, status.is_accepting) == (True, not is_starved)


def test_who_sent_pages_lately_may_send_faster(teller: Teller) -> None:
    teller.shares.on_put(ONE, now=10.0)
    teller.status.send_to_all(11.0)
    rates = {node: each.put_bytes_per_second for node, each in teller.told().items()}
    assert rates == {ONE: 2000 + 4000, OTHER: 2000}
    assert teller.tell(now=12.0).put_bytes_per_second == 2000, "that was long ago"
