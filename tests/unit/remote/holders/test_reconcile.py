"""What a holder keeps is compared with our rows, and nothing is put to it until that is over."""

from array import array

import pytest

from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.ids import NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.slices import SLICE_UNITS, Slices
from ramsterd.remote import wire
from ramsterd.remote.holders.holders import NEVER, Holder
from ramsterd.remote.holders.reconcile import (
    BEHIND_SECONDS,
    RETRY_SECONDS,
    Reconciled,
    Reconciler,
)
from ramsterd.remote.wire import SERIAL_MAX, MessageType, PageList, serial_ranges
from tests.helpers.made_owner import BLOCK_PAGES, INCARNATION, ONE, OTHER, Owner


class Reconciling(Owner):
    """An owner that was attached, and holders that keep the serials in `kept`."""

    def __init__(self, *, copies: int = 1) -> None:
        super().__init__(copies=copies)
        self.slices = Slices()
        self.now = 0.0
        self.behind: set[NodeId] = set()
        self.owed: dict[NodeId, list[int]] = {}
        self.kept: dict[NodeId, set[int]] = {ONE: set(), OTHER: set()}
        # From which serial each LIST_PAGES asked, and how many serials one answer tells of.
        self.asked_from: list[int] = []
        self.told_of = SERIAL_MAX
        self.machine = Reconciler(
            self.store.room,
            self.holders,
            run=self.slices.add,
            owe=self.owe,
            is_linked=self.linked.__contains__,
            is_behind=self.behind.__contains__,
            on_thinned=self.thinned.append,
        )
        self._last_id = 0

    def owe(self, holder: Holder, serials: "array[int]") -> None:
        self.owed.setdefault(holder.node, []).extend(serials)

    def serials(self, rows: list[int]) -> list[int]:
        return [self.store.rows.serial(row) for row in rows]

    def keep(self, node: NodeId, *, blocks: int = 1, stays: bool = False) -> list[int]:
        """Have pages at a node, as a process before this one had; return their rows."""
        rows = self.put_and_send(node, blocks=blocks, stays=stays)
        self.kept[node] |= set(self.serials(rows))
        self.holder(node).agreed_at = NEVER
        return rows

    def link(self, node: NodeId = ONE, *, attach_count: int = 0) -> None:
        self.linked.add(node)
        self.holders.on_link_up(node, attach_count)
        if (holder := self.holders.living(node)) is not None:
            self.machine.on_link_up(holder, self.now)

    def do_slices(self) -> None:
        while self.slices.next_deadline() is not None:
            self.slices.on_deadline(self.slices.next_deadline() or 0.0, SLICE_UNITS)
            self.store.check_invariants()

    def ask(self) -> list[tuple[int, NodeId, int]]:
        """Send what is due; return the request, the node and from which serial it is asked, of each."""
        self.do_slices()
        sent = []
        for comparison in self.machine.due(self.now):
            self._last_id += 1
            self.machine.begin(self._last_id, comparison)
            self.asked_from.append(comparison.first)
            sent.append((self._last_id, comparison.holder.node, comparison.first))
        return sent

    def reply_list(self, request_id: int, node: NodeId, first: int) -> None:
        up_to = min(SERIAL_MAX, first + self.told_of - 1)
        self.tell(
            request_id, serial_ranges(s for s in self.kept[node] if first <= s <= up_to), up_to
        )

    def tell(self, request_id: int, ranges: list[tuple[int, int]], up_to: int = SERIAL_MAX) -> None:
        table = memoryview(wire.list_reply_table(PageList(ranges, up_to)))
        frame = Frame(MessageType.LIST_PAGES, True, request_id, len(ranges), table, memoryview(b""))
        self.machine.on_reply(request_id, frame)

    def finish(self) -> None:
        """Go on until nothing is asked any more."""
        while sent := self.ask():
            for each in sent:
                self.reply_list(*each)
        self.do_slices()

    def is_over(self, node: NodeId = ONE) -> bool:
        assert self.holders.is_agreed(node) == (not self.machine.statistics().reconciling_holders)
        return self.holders.is_agreed(node)

    def found(self) -> tuple[int, int]:
        """Return how many copies were unknown, and missing."""
        now = self.machine.statistics()
        return now.unknown_copies_total, now.missing_copies_total

    def lost(self) -> int:
        return self.store.statistics().lost_pages_total


def test_a_holder_that_keeps_what_our_rows_name_is_agreed_with() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE, blocks=3)
    owner.link()
    assert not owner.is_over()
    owner.finish()
    assert owner.is_over()
    assert owner.found() == (0, 0)
    assert not owner.owed
    assert all(owner.store.rows.holders(row) for row in rows)
    assert owner.machine.statistics().reconciled_holders_total == 1
    assert owner.machine.take_ended() == [Reconciled(ONE, 0, 0, 0)]


def test_nobody_is_asked_whom_we_agree_with() -> None:
    owner = Reconciling()
    owner.link(attach_count=4)
    owner.put_and_send(ONE)
    owner.link(attach_count=4)
    owner.finish()
    assert not owner.asked_from


def test_a_holder_that_was_attached_is_asked_again() -> None:
    owner = Reconciling()
    owner.link(attach_count=4)
    owner.put_and_send(ONE)
    owner.kept[ONE] = set(owner.serials(list(owner.store.rows.live())))
    owner.link(attach_count=5)
    assert not owner.is_over()
    owner.finish()
    assert owner.is_over()
    assert owner.holder(ONE).agreed_at == 5


def test_what_only_the_holder_has_is_owed_a_flush_and_counted_nowhere_else() -> None:
    owner = Reconciling()
    owner.keep(ONE)
    flushed = owner.keep(ONE)
    serials = owner.serials(flushed)
    for row in flushed[3:9]:
        owner.store.versions.lose(row)
    owner.store.versions.take_owed()  # what the process before owed is forgotten
    pages = owner.holder(ONE).pages
    owner.link()
    owner.finish()
    assert owner.owed == {ONE: serials[3:9]}
    assert owner.found() == (6, 0)
    assert owner.holder(ONE).pages == pages


def test_what_only_our_rows_name_is_lost_if_nobody_else_has_it() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE)
    owner.kept[ONE] -= set(owner.serials(rows[:5]))
    owner.link()
    owner.finish()
    assert owner.lost() == 5
    assert owner.found() == (0, 5)
    assert owner.holder(ONE).pages == BLOCK_PAGES - 5
    assert owner.machine.take_ended() == [Reconciled(ONE, 0, 5, 5)]
    assert owner.machine.take_ended() == []


def test_what_only_our_rows_name_is_copied_again_if_another_has_it() -> None:
    owner = Reconciling(copies=2)
    rows = owner.put_and_send(ONE, OTHER)
    owner.holder(ONE).agreed_at = NEVER
    owner.kept[ONE] = set(owner.serials(rows[5:]))
    owner.link()
    owner.finish()
    assert owner.thinned == rows[:5]
    assert owner.lost() == 0
    assert all(owner.store.rows.holders(row) == [owner.holder(OTHER).id] for row in rows[:5])
    assert owner.found() == (0, 5)


def test_what_is_here_too_is_ours_alone_and_the_holder_is_owed_the_rest_of_the_block() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE, stays=True)
    owner.kept[ONE] -= set(owner.serials(rows[:1]))
    owner.link()
    owner.finish()
    assert all(owner.is_ours_alone(row) for row in rows)
    assert owner.lost() == 0
    assert owner.flush() == {ONE: BLOCK_PAGES - 1}
    assert owner.holder(ONE).pages == 0


def test_an_ephemeral_page_that_is_gone_is_a_hole_and_nobodys_fault() -> None:
    owner = Reconciling()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    first = owner.put(BLOCK_PAGES, pool=cache)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    owner.holder(ONE).agreed_at = NEVER
    owner.link()
    owner.finish()
    assert owner.found() == (0, BLOCK_PAGES)
    assert owner.store.get(cache, b"", first, BLOCK_PAGES).pages == [None] * BLOCK_PAGES
    assert owner.lost() == 0
    assert owner.machine.take_ended() == [Reconciled(ONE, 0, BLOCK_PAGES, 0)]


def test_a_page_that_was_flushed_after_it_was_collected_is_nobodys_fault() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE)
    serials = owner.serials(rows)
    owner.link()
    ((request_id, node, first),) = owner.ask()
    owner.store.versions.lose(rows[0])  # flushed, and the holder was told
    owner.store.versions.lose(rows[1])  # flushed, and it was not
    owner.kept[ONE].remove(serials[0])
    owner.reply_list(request_id, node, first)
    owner.finish()
    assert owner.found() == (0, 0)
    assert owner.flush() == {ONE: 2}


def test_a_list_is_pulled_piece_by_piece_from_a_cursor() -> None:
    owner = Reconciling()
    owner.keep(ONE, blocks=4)
    owner.told_of = 20
    owner.link()
    while len(owner.asked_from) < 4:
        for each in owner.ask():
            owner.reply_list(*each)
    owner.told_of = SERIAL_MAX
    owner.finish()
    assert owner.asked_from == [1, 21, 41, 61, 81]
    assert owner.is_over()
    assert owner.found() == (0, 0)


def test_it_goes_on_from_the_cursor_when_the_link_was_lost() -> None:
    owner = Reconciling()
    owner.keep(ONE, blocks=4)
    owner.told_of = 20
    owner.link()
    for each in owner.ask():
        owner.reply_list(*each)
    (lost,) = owner.ask()
    owner.machine.on_request_failed(lost[0], owner.now)
    owner.linked.discard(ONE)
    assert owner.machine.next_deadline() is None
    assert owner.ask() == []
    owner.link()
    owner.told_of = SERIAL_MAX
    owner.finish()
    assert owner.asked_from == [1, 21, 21]
    assert owner.is_over()
    assert owner.found() == (0, 0)


def test_it_begins_again_when_another_process_of_the_holder_is_linked() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE, blocks=4)
    owner.told_of = 20
    owner.link(attach_count=1)
    for each in owner.ask():
        owner.reply_list(*each)
    ((late, _, _),) = owner.ask()
    owner.machine.on_request_failed(late, owner.now)
    owner.kept[ONE].remove(owner.serials(rows)[0])  # lost as it was attached
    owner.told_of = SERIAL_MAX
    owner.link(attach_count=2)
    owner.finish()
    assert owner.asked_from == [1, 21, 1]
    assert owner.found() == (0, 1)
    assert owner.holder(ONE).agreed_at == 2


def test_an_answer_of_a_process_that_was_followed_by_another_is_not_used() -> None:
    owner = Reconciling()
    rows = owner.keep(ONE)
    owner.link(attach_count=1)
    ((request_id, _, _),) = owner.ask()
    owner.link(attach_count=2)
    owner.tell(request_id, [])
    owner.do_slices()
    assert owner.found() == (0, 0)
    owner.finish()
    assert all(owner.store.rows.holders(row) for row in rows)


@pytest.mark.parametrize("before", ["collect", "answer", "compare", "forget"])
def test_a_holder_whose_incarnation_ends_meanwhile_is_asked_no_more(before: str) -> None:
    owner = Reconciling()
    owner.keep(ONE, blocks=4)
    owner.kept[ONE] = set()
    owner.link()
    if before == "collect":
        owner.machine.on_holder_dead(owner.holders.end(ONE).id)
        assert owner.ask() == []
    else:
        ((request_id, _, _),) = owner.ask()
        if before != "answer":
            owner.tell(request_id, [])
        if before == "forget":
            owner.slices.on_deadline(1.0, 1)
        owner.machine.on_holder_dead(owner.holders.end(ONE).id)
        if before == "answer":
            owner.tell(request_id, [])
    owner.do_slices()
    assert owner.machine.statistics().reconciling_holders == 0
    assert owner.machine.statistics().reconciled_holders_total == 0
    assert owner.machine.next_deadline() is None


def test_a_holder_that_does_not_answer_is_asked_again_after_a_while() -> None:
    owner = Reconciling()
    owner.keep(ONE)
    owner.link()
    ((request_id, _, _),) = owner.ask()
    assert owner.machine.is_in_flight(request_id)
    assert owner.machine.next_deadline() is None
    owner.machine.on_request_failed(request_id, 5.0)
    assert not owner.machine.is_in_flight(request_id)
    assert owner.machine.next_deadline() == 5.0 + RETRY_SECONDS
    owner.now = 5.0
    assert owner.ask() == []
    owner.now = 5.0 + RETRY_SECONDS
    owner.finish()
    assert owner.is_over()


def test_a_holder_that_is_owed_much_is_not_asked_for_more() -> None:
    owner = Reconciling()
    owner.keep(ONE)
    owner.behind.add(ONE)
    owner.link()
    assert owner.ask() == []
    assert owner.machine.next_deadline() == BEHIND_SECONDS
    owner.behind.clear()
    owner.now = BEHIND_SECONDS
    owner.finish()
    assert owner.is_over()


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        ([(BLOCK_PAGES + 1, BLOCK_PAGES + 1)], "our newest"),
        ([(1, BLOCK_PAGES + 9)], "our newest"),
        ([(9, 9), (3, 4)], "do not ascend"),
        ([(1, 5), (5, 9)], "share serials"),
    ],
)
def test_a_list_that_can_not_be_true_changes_nothing(
    ranges: list[tuple[int, int]], why: str
) -> None:
    owner = Reconciling()
    rows = owner.keep(ONE)
    assert owner.store.versions.serial_last == BLOCK_PAGES
    owner.link()
    ((request_id, _, _),) = owner.ask()
    with pytest.raises(RemoteProtocolError, match=why):
        owner.tell(request_id, ranges)
    owner.do_slices()
    assert owner.found() == (0, 0)
    assert not owner.owed
    assert owner.machine.is_in_flight(request_id), "the engine says that it failed"
    owner.machine.on_request_failed(request_id, owner.now)
    owner.now += RETRY_SECONDS
    owner.finish()
    assert owner.is_over()
    assert all(owner.store.rows.holders(row) for row in rows)


def test_several_holders_are_compared_side_by_side() -> None:
    owner = Reconciling()
    mine, theirs = owner.keep(ONE, blocks=2), owner.keep(OTHER, blocks=2)
    owner.kept[ONE].remove(owner.serials(mine)[0])
    owner.kept[OTHER] -= set(owner.serials(theirs)[:2])
    owner.link(ONE)
    owner.link(OTHER)
    sent = owner.ask()
    assert [node for _, node, _ in sent] == [ONE, OTHER]
    for each in sent:
        owner.reply_list(*each)
    owner.finish()
    ended = {each.node: each.lacking for each in owner.machine.take_ended()}
    assert ended == {ONE: 1, OTHER: 2}
    assert owner.is_over(ONE)
    assert owner.is_over(OTHER)


def test_a_holder_id_that_kept_rows_name_is_not_agreed_with_before_it_was_asked() -> None:
    owner = Reconciling()
    owner.holders.adopt(9, ONE, INCARNATION, is_dead=False, pages=0)
    owner.link(attach_count=0)
    assert not owner.is_over()
    owner.finish()
    assert owner.is_over()
