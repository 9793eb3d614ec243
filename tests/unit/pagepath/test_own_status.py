"""What a node's STATUS says, and to whom."""

from dataclasses import dataclass, field

import pytest

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable, PeerStatus
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.core.store import Store
from ramsterd.pagepath.clock import STATUS_SECONDS
from ramsterd.pagepath.effects import Send
from ramsterd.pagepath.outbox import Outbox
from ramsterd.pagepath.own_status import REPEAT_SECONDS, REPEAT_SECONDS_MAX, OwnStatus
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
    probe_seconds: float = 1.0

    def __post_init__(self) -> None:
        self.nodes = NodeTable(cluster_of(3), NodeId(0), incarnation=Incarnation(9))
        self.foreign = ForeignPages(
            self.store, run=run_all, bytes_fraction_max=1.0, owner_pages_max=self.owner_pages_max
        )
        self.shares = ReceiveShares(BYTES_PER_SECOND)
        self.outbox = Outbox(request_seconds_max=1.0)
        self.status = OwnStatus(
            self.store,
            self.nodes,
            self.foreign,
            self.shares,
            self.outbox,
            probe_seconds=self.probe_seconds,
        )

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
    teller.status.on_tick(0.0)
    assert teller.told() == {}
    teller.link(OTHER)
    teller.status.send(ONE, 0.0)
    assert teller.told() == {}
    teller.status.on_tick(0.0)
    assert set(teller.told()) == {OTHER}
    teller.link(ONE)
    teller.status.on_tick(REPEAT_SECONDS)
    assert set(teller.told()) == {ONE, OTHER}


def ticks(teller: Teller, begin: float, count: int) -> list[set[NodeId]]:
    """Let so many ticks pass; return who was told at each."""
    told = []
    for tick in range(count):
        teller.status.on_tick(begin + STATUS_SECONDS * tick)
        told.append(set(teller.told()))
    return told


@pytest.fixture
def resting(teller: Teller) -> Teller:
    """Return one whose peers know all."""
    for node in (ONE, OTHER):
        teller.status.on_link_up(node, 0.0, is_eager=False)
    teller.told()
    assert ticks(teller, 0.0, 1) == [{ONE, OTHER}], "nobody was told of this yet"
    return teller


def test_at_rest_the_same_is_told_again_after_a_while_only(resting: Teller) -> None:
    assert ticks(resting, 0.5, 6) == [set(), set(), {ONE, OTHER}, set(), set(), {ONE, OTHER}]


def test_those_who_know_it_since_different_times_are_told_together_from_then_on(
    resting: Teller,
) -> None:
    resting.status.on_link_up(OTHER, 0.3, is_eager=False)
    resting.told()
    assert ticks(resting, 0.5, 6) == [set(), set(), {ONE, OTHER}, set(), set(), {ONE, OTHER}]


def test_who_hears_the_same_again_tells_it_too_unless_it_did_so_a_moment_ago(
    resting: Teller,
) -> None:
    """Nodes at rest tell it together, and wake each other up once and not one by one."""
    told = []
    for now in (0.9, 1.1, 1.2, 2.0, 2.15):
        resting.status.on_repeated(now)
        told.append(set(resting.told()))
    assert told == [set(), {ONE, OTHER}, set(), set(), {ONE, OTHER}]
    assert ticks(resting, 2.5, 3) == [set(), set(), set()]


def test_one_that_hears_others_tells_all_no_later_than_without_them(resting: Teller) -> None:
    assert resting.status.repeat_until() == REPEAT_SECONDS_MAX
    resting.status.on_repeated(1.2)
    assert resting.status.repeat_until() == pytest.approx(1.2 + REPEAT_SECONDS_MAX)
    alone = Teller()
    assert alone.status.repeat_until() == float("inf")
    alone.status.on_repeated(9.0)
    assert alone.told() == {}


def test_what_changes_here_is_told_to_all_at_the_next_tick(resting: Teller) -> None:
    resting.fill(16)
    assert ticks(resting, 0.5, 2) == [{ONE, OTHER}, set()]
    resting.status.is_starved = True
    assert ticks(resting, 1.5, 1) == [{ONE, OTHER}]
    resting.status.on_changed()
    assert ticks(resting, 2.0, 2) == [{ONE, OTHER}, set()]
    put(resting.foreign, PoolKind.PERSISTENT, range(1, 33))
    assert ticks(resting, 3.0, 1) == [{ONE, OTHER}]
    resting.shares.on_put(ONE, now=3.5)
    assert ticks(resting, 3.5, 2) == [{ONE, OTHER}, set()]


def test_who_asked_for_something_is_told_though_nothing_has_changed(resting: Teller) -> None:
    """It may have been refused, and counts what it sent until it is told."""
    resting.status.on_asked(ONE)
    assert ticks(resting, 0.5, 2) == [{ONE}, set()]


def test_one_that_asks_no_link_is_told_at_each_tick(resting: Teller) -> None:
    resting.status.on_link_up(OTHER, 0.5, is_eager=True)
    assert set(resting.told()) == {OTHER}
    assert ticks(resting, 0.5, 2) == [{OTHER}, {OTHER}]
    resting.status.on_link_up(OTHER, 1.5, is_eager=False)
    resting.told()
    assert ticks(resting, 1.5, 1) == [{ONE}]


def test_with_quick_probes_each_tick_is_told() -> None:
    teller = Teller(probe_seconds=0.3)
    teller.link(ONE)
    assert ticks(teller, 0.0, 3) == [{ONE}] * 3


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
    teller.status.on_tick(0.0)
    told = teller.told()
    assert {node: each.pages_held_for_us for node, each in told.items()} == {ONE: 32, OTHER: 16}


def test_an_owner_at_its_quota_is_refused_and_no_other() -> None:
    teller = Teller(owner_pages_max=16)
    teller.link(ONE, OTHER)
    assert teller.tell().free_bytes == 16 * PAGE_BYTES
    put(teller.foreign, PoolKind.PERSISTENT, range(1, 17))
    teller.status.on_tick(0.0)
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
    teller.status.on_tick(11.0)
    rates = {node: each.put_bytes_per_second for node, each in teller.told().items()}
    assert rates == {ONE: 2000 + 4000, OTHER: 2000}
    assert teller.tell(now=12.0).put_bytes_per_second == 2000, "that was long ago"
