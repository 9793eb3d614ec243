"""An engine that goes on with the pages of the process before: whom it waits for, and what it gives up."""

import random
from pathlib import Path

from config.model import DaemonConfig, RemoteConfig
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.fetch.pending import GetOutcome
from ramsterd.remote.holders.row_sweeps import GRACE_SECONDS
from ramsterd.remote.wire import MessageType
from tests.helpers.clusters import cluster_of
from tests.helpers.foreign_puts import put
from tests.helpers.kept_process import next_memory
from tests.helpers.made_engine import INCARNATION, MEMORY, ONE, OTHER, MadeEngine, sends

LATER = Incarnation(INCARNATION + 1)


class AttachedEngine(MadeEngine):
    """The engine of the next process; what `MadeEngine` makes is thrown away."""

    def __init__(self, before: MadeEngine, *, peers: int = 2) -> None:
        super().__init__(peers=peers)
        self.disk = before.disk
        self.memory = next_memory(before.memory, MEMORY)
        self.engine = Engine(
            daemon=DaemonConfig(
                node="node0",
                cluster=Path("none"),
                memory=MEMORY,
                remote=RemoteConfig(copies=1),
            ),
            cluster=cluster_of(peers + 1),
            local=NodeId(0),
            incarnation=self.memory.incarnation,
            rng=random.Random(1),
            kept=self.memory.pages,
        )
        self.engine.resume(now=self.now)
        self.engine.check_invariants()

    def open_disk(self, *, copies: int) -> None:
        """The front end of the next process opens the export that the one before had."""
        opened = self.engine.new_pool(PoolKind.PERSISTENT, export_pool("disk"), copies=copies)
        assert opened == self.disk

    @property
    def counted(self) -> int:
        """How many holders count of a page that only a peer has."""
        rows = self.engine.store.rows
        holders = next(filter(None, map(rows.holders, rows.live())))
        return self.engine.machines.reach.copies_at(holders).counted


def with_pages_at_one() -> tuple[MadeEngine, int]:
    made = MadeEngine()
    made.link(ONE)
    made.settle()
    return made, made.store_at(ONE)


def test_holders_are_awaited_and_nothing_is_lost_or_copied_for_a_while() -> None:
    before, stored = with_pages_at_one()
    after = AttachedEngine(before)
    assert after.engine.pages_there(ONE) == stored
    assert after.counted == 1
    assert after.engine.statistics().rebuild.pages_at_risk == stored
    after.wait(GRACE_SECONDS - 1)
    assert after.counted == 1
    after.wait(1)
    assert after.counted == 0
    assert after.engine.store.statistics().lost_pages_total == 0


def test_a_holder_that_is_linked_counts_again_and_is_asked_for_its_list() -> None:
    after = AttachedEngine(with_pages_at_one()[0])
    after.engine.on_link_up(ONE, INCARNATION, now=after.now)
    (asked,) = sends(after.settle(), MessageType.LIST_PAGES) or sends(
        after.wait(0.1), MessageType.LIST_PAGES
    )
    assert (asked.node, asked.count) == (ONE, 1)
    assert after.engine.statistics().rebuild.pages_at_risk == 0


def test_pages_with_too_few_copies_are_looked_for_as_soon_as_their_export_is_opened_again() -> None:
    before, stored = with_pages_at_one()
    after = AttachedEngine(before)
    after.engine.on_link_up(ONE, INCARNATION, now=after.now)
    after.open_disk(copies=2)
    after.settle()
    assert after.engine.statistics().rebuild.is_counting, "0 pages are at risk so far"
    after.wait(1)
    rebuild = after.engine.statistics().rebuild
    assert (rebuild.is_counting, rebuild.pages_at_risk) == (False, stored)


def test_an_export_that_is_content_with_one_copy_is_not_looked_through() -> None:
    after = AttachedEngine(with_pages_at_one()[0])
    after.open_disk(copies=1)
    assert not after.engine.statistics().rebuild.is_counting


def test_a_holder_that_nobody_hears_is_given_up_when_it_is_judged_down() -> None:
    after = AttachedEngine(with_pages_at_one()[0])
    verdict = Verdict(ONE, NodeState.DOWN, None, "it never answered")
    after.engine.on_verdict(verdict, now=after.now)
    assert after.counted == 0
    assert after.engine.store.statistics().lost_pages_total == 0


def test_an_earlier_incarnation_of_a_holder_is_not_believed() -> None:
    """It would end the one that has our pages."""
    before, _ = with_pages_at_one()
    after = AttachedEngine(before)
    after.engine.on_link_up(ONE, Incarnation(INCARNATION - 1), now=after.now)
    after.wait(1)
    assert after.engine.store.statistics().lost_pages_total == 0
    assert after.engine.machines.holders.living(ONE) is not None


def test_a_later_incarnation_of_a_holder_has_lost_all() -> None:
    before, stored = with_pages_at_one()
    after = AttachedEngine(before)
    after.engine.on_link_up(ONE, LATER, now=after.now)
    after.wait(1)
    assert after.engine.store.statistics().lost_pages_total == stored


def test_a_holder_that_had_ended_is_swept_for_again() -> None:
    before, stored = with_pages_at_one()
    before.engine.on_link_lost(ONE, INCARNATION, now=before.now)
    before.engine.on_link_up(ONE, LATER, now=before.now)
    before.settle()
    assert before.engine.store.statistics().lost_pages_total == 0
    after = AttachedEngine(before)
    assert after.get_outcome(0) is not GetOutcome.UNREACHABLE
    after.wait(1)
    assert after.engine.store.statistics().lost_pages_total == stored


def test_what_a_node_held_that_is_no_member_any_more_is_lost() -> None:
    before = MadeEngine()
    before.link(OTHER)
    before.settle()
    stored = before.store_at(OTHER)
    after = AttachedEngine(before, peers=1)
    after.wait(1)
    assert after.engine.store.statistics().lost_pages_total == stored


def test_pages_of_owners_are_kept_until_they_are_known_to_be_over() -> None:
    before = MadeEngine()
    for owner in (ONE, OTHER):
        put(before.engine.machines.foreign, PoolKind.PERSISTENT, range(1, 17), owner=owner)
    after = AttachedEngine(before, peers=1)
    after.wait(1)
    assert after.engine.pages_here(ONE) == 16
    assert after.engine.pages_here(OTHER) == 0, "it is no member any more"
    after.engine.on_link_up(ONE, LATER, now=after.now)
    after.wait(1)
    assert after.engine.pages_here(ONE) == 0


def test_what_a_holder_is_known_to_be_as_an_owner_ends_what_it_held_before() -> None:
    before, stored = with_pages_at_one()
    before.engine.on_link_lost(ONE, INCARNATION, now=before.now)
    foreign = before.engine.machines.foreign
    foreign._owner(ONE, LATER)
    after = AttachedEngine(before)
    after.wait(1)
    assert after.engine.store.statistics().lost_pages_total == stored
