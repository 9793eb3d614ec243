"""Counting the pages that only one node has."""

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.rows import FRAME_ROWS
from ramsterd.core.store import Store
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.home.last_copies import LEAVING_SECONDS, Counted, LastCopies
from tests.helpers.made_pages import joined, make_run, make_store

LOCAL, ONE, OTHER = NodeId(0), NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)
BLOCK_PAGES = 16


class Owner:
    """A store, some of whose blocks have left for peers."""

    def __init__(self) -> None:
        self.store: Store = make_store()
        self.holders = Holders()
        self.unreachable: set[NodeId] = set()
        self.receiving: set[NodeId] = set()
        self.last_copies = LastCopies(
            self.store.room,
            self.holders,
            local=LOCAL,
            is_reachable=self.is_reachable,
            is_sending_to=self.receiving.__contains__,
        )
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        self.index = 0

    def is_reachable(self, holder: Holder) -> bool:
        return holder.node not in self.unreachable

    def send_block(self, *nodes: NodeId, stays: bool = False) -> None:
        """Put a block of pages and have it leave for these nodes."""
        pages = make_run(PAGE_BYTES, BLOCK_PAGES)
        assert self.store.put(self.pool, b"", self.index, joined(pages)) == BLOCK_PAGES
        self.index += BLOCK_PAGES
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        end = keep_leaving if stays else end_leaving
        holders = [self.holders.of(node, INCARNATION).id for node in nodes]
        end(self.store.versions, begin_leaving(self.store.versions, block), *holders)

    def count(self, node: NodeId, *, rows_max: int = 5, now: float = 0.0) -> int:
        self.last_copies.begin(node, now=now)
        for _ in range(1000):
            counted = self.last_copies.count(rows_max)
            if counted is not None:
                assert counted.node == node
                return counted.last_copies
        raise AssertionError("it never ends")


def test_without_pages_elsewhere_the_answer_is_there_at_once() -> None:
    owner = Owner()
    owner.last_copies.begin(ONE, now=0)
    assert owner.last_copies.next_deadline() == 0
    assert owner.last_copies.on_deadline(0) == [Counted(ONE, 0)]
    assert owner.last_copies.next_deadline() is None


def test_a_page_with_another_holder_or_here_is_not_counted() -> None:
    owner = Owner()
    owner.send_block(ONE)
    owner.send_block(ONE, OTHER)
    owner.send_block(ONE, stays=True)
    owner.send_block(OTHER)
    assert owner.count(ONE) == BLOCK_PAGES
    assert owner.count(OTHER, now=LEAVING_SECONDS) == BLOCK_PAGES


def test_of_two_that_are_asked_about_neither_is_counted_on() -> None:
    owner = Owner()
    owner.send_block(ONE, OTHER)
    assert owner.count(ONE) == 0
    assert owner.count(OTHER) == BLOCK_PAGES
    assert owner.count(ONE, now=1) == BLOCK_PAGES
    assert owner.count(ONE, now=LEAVING_SECONDS) == 0, "nobody removed the other one"


def test_what_is_on_its_way_is_waited_for() -> None:
    owner = Owner()
    owner.receiving.add(ONE)
    owner.last_copies.begin(ONE, now=0)
    assert owner.last_copies.count(FRAME_ROWS) is None
    owner.send_block(ONE)
    owner.receiving.discard(ONE)
    assert owner.last_copies.count(FRAME_ROWS) == Counted(ONE, BLOCK_PAGES)


def test_a_holder_that_can_not_be_asked_is_no_other_holder() -> None:
    owner = Owner()
    owner.send_block(ONE, OTHER)
    assert owner.count(ONE) == 0
    owner.unreachable.add(OTHER)
    assert owner.count(ONE) == BLOCK_PAGES


def test_of_itself_a_node_counts_what_only_peers_have() -> None:
    owner = Owner()
    owner.send_block(ONE, OTHER)
    owner.send_block(OTHER)
    owner.send_block(ONE, stays=True)
    assert owner.count(LOCAL) == 2 * BLOCK_PAGES


def test_two_nodes_are_counted_one_after_the_other() -> None:
    owner = Owner()
    owner.send_block(ONE)
    owner.last_copies.begin(ONE, now=0)
    owner.last_copies.begin(OTHER, now=0)
    answers = [owner.last_copies.count(1000), owner.last_copies.count(1000)]
    assert answers == [Counted(ONE, BLOCK_PAGES), Counted(OTHER, 0)]


def test_asked_again_it_starts_anew() -> None:
    owner = Owner()
    owner.send_block(ONE)
    owner.last_copies.begin(ONE, now=0)
    assert owner.last_copies.count(8) is None
    assert owner.count(ONE) == BLOCK_PAGES


def test_there_are_pauses_between_slices() -> None:
    owner = Owner()
    owner.send_block(ONE)
    owner.last_copies.begin(ONE, now=5)
    assert owner.last_copies.on_deadline(4.9) == []
    assert owner.last_copies.on_deadline(5) == [Counted(ONE, BLOCK_PAGES)]
