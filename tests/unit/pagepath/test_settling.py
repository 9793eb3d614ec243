"""The order of what a pass asks for."""

from collections.abc import Iterator

import pytest

from nodemanager.ids import NodeId
from ramsterd.pagepath.effects import Replicated
from ramsterd.remote.wire import MessageType
from tests.helpers.dropping import drop_run
from tests.helpers.made_engine import FULL, INCARNATION, OBJECT, ONE, MadeEngine, sends


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine(peers=1)
    made.link(ONE)
    made.settle()
    yield made
    made.engine.check_invariants()


def types_to(made: MadeEngine, node: NodeId) -> list[int]:
    return [each.type for each in sends(made.settle()) if each.node == node]


def test_a_pass_in_which_nothing_happened_asks_for_nothing(made: MadeEngine) -> None:
    assert made.engine.settle(made.now) == []


def test_what_a_peer_is_owed_leaves_before_a_new_put(made: MadeEngine) -> None:
    made.store_at(ONE)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    made.put(64, index=1000)
    types = types_to(made, ONE)
    assert types[0] == MessageType.FLUSH_PAGES
    assert MessageType.PUT_PAGES in types


def test_what_is_owed_waits_for_company_if_nothing_else_leaves(made: MadeEngine) -> None:
    made.store_at(ONE)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    assert types_to(made, ONE) == []
    (flush,) = sends(made.wait(0.06), MessageType.FLUSH_PAGES)
    assert flush.node == ONE


def test_what_is_owed_to_a_peer_without_a_link_waits_for_it(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    assert not sends(made.wait(1), MessageType.FLUSH_PAGES)
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert sends(made.settle(), MessageType.FLUSH_PAGES)


def test_what_is_to_be_replicated_leaves_and_its_end_is_told(made: MadeEngine) -> None:
    made.put(4)
    request = made.engine.replicate(made.disk, OBJECT, 0, 4, now=made.now)
    assert request is not None
    (put,) = sends(made.settle(), MessageType.PUT_PAGES)
    effects = made.frame(
        ONE, MessageType.PUT_PAGES, put.count, bytes(put.count),
        request_id=put.request_id, is_reply=True,
    )  # fmt: skip
    assert Replicated(request) in effects
    assert request.is_stored


def test_no_more_is_sent_than_fits_the_window(made: MadeEngine) -> None:
    made.put(FULL)
    puts = sends(made.settle(), MessageType.PUT_PAGES)
    assert 0 < len(puts) <= made.engine.machines.remote.puts_in_flight_max
    assert not sends(made.settle(), MessageType.PUT_PAGES), "they are under way"
