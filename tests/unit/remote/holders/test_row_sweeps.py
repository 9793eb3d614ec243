"""Looking at all rows that name a holder which was lost, a slice at a time."""

import pytest

from nodemanager.ids import NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.rows import FRAME_ROWS
from ramsterd.remote.holders import row_sweeps
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.holders.row_sweeps import GRACE_SECONDS, SWEEP_SECONDS, RowSweeps
from tests.helpers.made_owner import BLOCK_PAGES, ONE, OTHER, THIRD, Owner


class Sweeping(Owner):
    """An owner, and its machine."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        # Of incarnations that are forgotten: whose, and how many persistent pages it had.
        self.forgotten: list[tuple[NodeId, int]] = []
        self.sweeps = RowSweeps(
            self.store.room,
            self.store.copies,
            self.holders,
            on_thinned=self.thinned.append,
            on_forgotten=self.on_forgotten,
        )

    def on_forgotten(self, holder: Holder, persistent: int, _: float) -> None:
        self.forgotten.append((holder.node, persistent))

    def bury(self, node: NodeId) -> Holder:
        """An incarnation of a node is over: begin the sweep for it."""
        holder = self.holders.end(node)
        self.store.copies.on_unreachable(holder.id)
        self.sweeps.begin(holder)
        return holder

    def step(self) -> None:
        """A pass ends, and the next slice is due."""
        self.sweeps.settle(self.now)
        self.now += SWEEP_SECONDS
        self.sweeps.on_deadline(self.now)
        self.store.check_invariants()

    def finish(self) -> int:
        """Sweep to the end; return in how many slices."""
        for slices in range(200):
            self.sweeps.settle(self.now)
            if self.sweeps.next_deadline() is None:
                return slices
            self.step()
        raise AssertionError("it never ends")

    def lost(self) -> int:
        return self.store.statistics().lost_pages_total


def is_unswept(holder: Holder) -> bool:
    return holder.is_unswept


# Holders that are dead.


def test_pages_that_only_a_dead_holder_had_are_lost() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.put_and_send(OTHER)
    owner.bury(ONE)
    assert owner.finish() == 1
    assert owner.lost() == BLOCK_PAGES
    assert owner.thinned == []
    assert owner.flush() == {}, "nothing is owed to the dead"


def test_at_the_end_it_is_said_how_many_persistent_pages_a_dead_holder_had() -> None:
    """Those that are lost, those that others have, and those that are here; ephemeral ones promise nothing."""
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.put_and_send(ONE, OTHER)
    owner.put_and_send(ONE, stays=True)
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES, pool=cache)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    owner.bury(ONE)
    owner.finish()
    assert owner.forgotten == [(ONE, 3 * BLOCK_PAGES)]


def test_pages_that_others_have_too_have_a_copy_less() -> None:
    owner = Sweeping()
    rows = owner.put_and_send(ONE, OTHER)
    owner.bury(ONE)
    owner.finish()
    assert owner.lost() == 0
    assert owner.thinned == rows
    assert {tuple(owner.store.rows.holders(row)) for row in rows} == {(owner.holder(OTHER).id,)}


def test_clean_copies_of_a_dead_holder_are_ours_alone() -> None:
    owner = Sweeping()
    rows = owner.put_and_send(ONE, stays=True)
    owner.bury(ONE)
    owner.finish()
    assert owner.lost() == 0
    assert all(owner.is_ours_alone(row) for row in rows)


def test_a_dead_holder_is_forgotten_after_the_sweep_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_sweeps, "SWEEP_ROWS", FRAME_ROWS // 2)
    owner = Sweeping()
    owner.put_and_send(ONE)
    dead = owner.bury(ONE)
    owner.step()
    assert owner.holders.get(dead.id) is dead
    assert dead.id in owner.store.copies.unreachable_holders
    assert is_unswept(dead)
    owner.step()
    assert owner.holders.get(dead.id) is None
    assert owner.store.copies.unreachable_holders == set()
    assert not is_unswept(dead)


def test_a_dead_holder_without_pages_is_forgotten_too() -> None:
    owner = Sweeping()
    owner.holder(ONE)
    dead = owner.bury(ONE)
    assert owner.finish() == 1
    assert owner.holders.get(dead.id) is None


# Holders that are away.


def test_of_an_absent_holder_nothing_is_lost_and_all_is_said_to_be_thin() -> None:
    owner = Sweeping()
    rows = owner.put_and_send(ONE)
    owner.put_and_send(OTHER)
    clean = owner.put_and_send(ONE, stays=True)
    absent = owner.holder(ONE)
    owner.sweeps.begin(absent)
    assert is_unswept(absent)
    owner.finish()
    assert owner.lost() == 0
    assert owner.thinned == [*rows, *clean]
    assert not is_unswept(absent)
    assert owner.holders.get(absent.id) is absent
    assert not any(owner.is_ours_alone(row) for row in clean)


def test_a_holder_that_comes_back_is_swept_for_no_more() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    absent = owner.holder(ONE)
    owner.sweeps.begin(absent)
    owner.sweeps.settle(owner.now)
    owner.sweeps.call_off(absent)
    assert not is_unswept(absent)
    owner.step()
    assert owner.thinned == []
    assert owner.sweeps.next_deadline() is None


def test_to_call_off_what_was_not_begun_does_no_harm() -> None:
    owner = Sweeping()
    owner.sweeps.call_off(owner.holder(ONE))
    assert owner.finish() == 0


def test_a_holder_that_dies_during_the_sweep_is_swept_for_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_sweeps, "SWEEP_ROWS", 10)
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.sweeps.begin(owner.holder(ONE))
    owner.step()
    assert len(owner.thinned) == 10 - 3, "rows begin at 3"
    owner.bury(ONE)
    owner.finish()
    assert owner.lost() == BLOCK_PAGES


# More copies are wanted.


def test_where_more_copies_are_wanted_the_holder_is_not_absent() -> None:
    owner = Sweeping()
    rows = owner.put_and_send(ONE)
    owner.sweeps.begin(owner.holder(ONE), is_absent=False)
    assert not is_unswept(owner.holder(ONE))
    owner.finish()
    assert owner.thinned == rows


def test_what_looks_for_missing_copies_is_not_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder went away and came back meanwhile; its pages have too few copies as before."""
    monkeypatch.setattr(row_sweeps, "SWEEP_ROWS", 10)
    owner = Sweeping()
    rows = owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.begin(holder, is_absent=False)
    owner.step()
    owner.sweeps.call_off(holder)
    owner.finish()
    assert owner.thinned == rows


def test_after_its_end_a_sweep_for_copies_protects_no_other() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.begin(holder, is_absent=False)
    owner.finish()
    owner.thinned.clear()
    owner.sweeps.begin(holder)
    owner.sweeps.call_off(holder)
    assert owner.finish() == 0
    assert owner.thinned == []


def test_a_holder_that_is_back_is_not_absent_though_more_copies_are_looked_for() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.begin(holder, is_absent=False)
    owner.sweeps.begin(holder)
    owner.sweeps.call_off(holder)
    assert not is_unswept(holder)


# Slices.


def test_without_a_sweep_nothing_is_due() -> None:
    owner = Sweeping()
    owner.sweeps.settle(5.0)
    assert owner.sweeps.next_deadline() is None
    owner.sweeps.on_deadline(100.0)


def test_there_are_pauses_between_slices() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.bury(ONE)
    assert owner.sweeps.next_deadline() is None, "the pass is not over"
    owner.sweeps.settle(5.0)
    assert owner.sweeps.next_deadline() == 5.0 + SWEEP_SECONDS
    owner.sweeps.settle(5.01)
    assert owner.sweeps.next_deadline() == 5.0 + SWEEP_SECONDS
    owner.sweeps.on_deadline(5.01)
    assert owner.lost() == 0
    owner.sweeps.on_deadline(5.0 + SWEEP_SECONDS)
    assert owner.lost() == BLOCK_PAGES
    assert owner.sweeps.next_deadline() is None


@pytest.mark.parametrize("rows", [1, 7, 16, 35, 36])
def test_slices_find_what_one_would(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(row_sweeps, "SWEEP_ROWS", rows)
    owner = Sweeping()
    owner.put_and_send(ONE, OTHER)
    owner.put_and_send(ONE)
    owner.bury(ONE)
    assert owner.finish() == -(-FRAME_ROWS // rows)
    assert owner.lost() == BLOCK_PAGES
    assert len(owner.thinned) == BLOCK_PAGES


def test_a_slice_in_which_much_changes_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sweeps, "SWEEP_PAGES", 5)
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.bury(ONE)
    owner.step()
    assert owner.lost() == 5
    assert owner.finish() == 3
    assert owner.lost() == BLOCK_PAGES


def test_several_holders_have_their_slices_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sweeps, "SWEEP_ROWS", 24)
    owner = Sweeping()
    owner.put_and_send(ONE)
    owner.put_and_send(OTHER)
    owner.put_and_send(THIRD)
    lost = []
    owner.bury(ONE)
    owner.bury(OTHER)
    for _ in range(4):
        owner.step()
        lost.append(owner.lost())
    # Of one they are in rows 3 to 18, of the other in rows 19 to 34.
    assert lost == [16, 21, 21, 32]
    assert owner.finish() == 2 * (-(-FRAME_ROWS // 24) - 2)


# Holders that may be back at once.


def test_a_holder_that_lost_its_link_is_awaited_for_a_while_before_its_rows_are_looked_at() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.expect(holder, owner.now)
    assert (holder.is_awaited, holder.is_unswept) == (True, True)
    owner.sweeps.settle(owner.now)
    assert owner.sweeps.next_deadline() == GRACE_SECONDS
    owner.now = GRACE_SECONDS - 0.01
    owner.sweeps.on_deadline(owner.now)
    assert owner.thinned == []
    owner.now = GRACE_SECONDS
    owner.sweeps.on_deadline(owner.now)
    assert not holder.is_awaited
    owner.finish()
    assert len(owner.thinned) == BLOCK_PAGES
    assert not holder.is_unswept


def test_a_holder_that_is_back_in_time_is_not_swept_for() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.expect(holder, owner.now)
    owner.sweeps.call_off(holder)
    assert (holder.is_awaited, holder.is_unswept) == (False, False)
    owner.now = GRACE_SECONDS
    owner.sweeps.on_deadline(owner.now)
    assert owner.finish() == 0
    assert owner.thinned == []


def test_a_holder_that_is_given_up_is_awaited_no_more() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.expect(holder, owner.now)
    owner.sweeps.begin(holder)
    assert (holder.is_awaited, holder.is_unswept) == (False, True)
    owner.finish()
    assert len(owner.thinned) == BLOCK_PAGES


def test_pages_of_an_awaited_holder_stay_at_risk_when_more_copies_are_wanted() -> None:
    owner = Sweeping()
    owner.put_and_send(ONE)
    holder = owner.holder(ONE)
    owner.sweeps.expect(holder, owner.now)
    owner.sweeps.begin(holder, is_absent=False)
    while not owner.thinned:
        owner.step()
    assert (holder.is_awaited, holder.is_unswept) == (True, True)
