"""The engine as its callers see it: an event in, effects out."""

from collections.abc import Iterator

import pytest

from nodemanager.ids import Incarnation
from nodemanager.states import NodeState, Verdict
from ramsterd.core.store import RunOfPages
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.wire import MessageType
from tests.helpers.made_engine import FULL, INCARNATION, OBJECT, ONE, OTHER, MadeEngine, sends


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine()
    yield made
    made.engine.check_invariants()


def test_a_page_that_is_here_is_answered_at_once(made: MadeEngine) -> None:
    made.put(3)
    found = made.engine.get(made.disk, OBJECT, 0, 3, now=1.0)
    assert isinstance(found, list)
    assert None not in found
    assert made.settle() == []


def test_a_page_at_a_peer_is_asked_for_in_the_same_pass(made: MadeEngine) -> None:
    made.link(ONE)
    assert made.store_at(ONE)
    found = made.engine.get(made.disk, OBJECT, 0, 1, now=1.0)
    assert isinstance(found, PendingGet)
    (ask,) = sends(made.settle(), MessageType.GET_PAGES)
    assert (ask.node, ask.count) == (ONE, 1)


def test_a_run_that_is_looked_at_needs_no_clock(made: MadeEngine) -> None:
    made.link(ONE)
    assert made.store_at(ONE)
    assert isinstance(made.engine.look(made.disk, OBJECT, 0, 4), RunOfPages)
    assert made.settle() == []


def test_a_page_whose_only_holder_started_again_is_lost(made: MadeEngine) -> None:
    made.link(ONE)
    assert made.store_at(ONE)
    made.link(ONE, Incarnation(2))
    assert made.get_outcome(0) is GetOutcome.LOST


def test_room_can_be_waited_for_until_all_peers_are_given_up(made: MadeEngine) -> None:
    """A node that has just started with its memory full is linked with nobody yet."""
    assert made.engine.may_make_room(made.disk)
    for node in made.engine.nodes.nodes():
        down = Verdict(node, NodeState.DOWN, None, "it never answered")
        made.engine.on_verdict(down, now=made.now)
    assert not made.engine.may_make_room(made.disk)
    made.link(ONE)
    assert made.engine.may_make_room(made.disk)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert made.engine.may_make_room(made.disk), "it may be back in a moment"


def test_after_the_farewell_nothing_leaves_any_more(made: MadeEngine) -> None:
    made.link(ONE)
    made.put(FULL)
    made.engine.farewell()
    effects = made.settle()
    assert [each.type for each in sends(effects)] == [MessageType.FLUSH_OWNER]


def test_pages_are_counted_by_where_they_are(made: MadeEngine) -> None:
    made.link(ONE)
    stored = made.store_at(ONE)
    engine = made.engine
    assert engine.pages_there(ONE) == engine.pages_there(engine.nodes.local) == stored
    assert engine.pages_there(OTHER) == engine.pages_here(ONE) == 0
    assert engine.pages_owned() == FULL


def test_a_new_incarnation_may_begin_only_while_nobody_keeps_pages_for_it(
    made: MadeEngine,
) -> None:
    made.link(ONE)
    assert made.engine.may_begin_incarnation()
    made.engine.begin_incarnation(Incarnation(10))
    assert made.engine.incarnation == 10
    made.store_at(ONE)
    assert not made.engine.may_begin_incarnation()


def test_a_budget_that_changes_is_told_to_peers_at_once(made: MadeEngine) -> None:
    made.link(ONE)
    made.wait(0.6)
    made.engine.set_budget(made.engine.store.zbud.budget_bytes // 2, now=made.now)
    assert sends(made.wait(0.0), MessageType.STATUS)
