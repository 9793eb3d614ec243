"""What a frame of a peer does, and which frames break the protocol."""

from collections.abc import Iterator

import pytest

from net.errors import RemoteProtocolError
from nodemanager.ids import Incarnation
from ramsterd.pagepath.effects import GetDone
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType
from tests.helpers.made_engine import FULL, INCARNATION, OBJECT, ONE, MadeEngine, sends


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine()
    made.link(ONE)
    made.settle()
    yield made
    made.engine.check_invariants()


def test_a_question_for_pages_is_answered_on_the_same_link(made: MadeEngine) -> None:
    effects = made.frame(ONE, MessageType.GET_PAGES, 2, wire.get_table([5, 6]), request_id=3)
    (answer,) = sends(effects)
    assert (answer.node, answer.request_id, answer.is_reply) == (ONE, 3, True)
    assert answer.count == 2


def test_a_frame_of_an_incarnation_that_has_ended_is_refused(made: MadeEngine) -> None:
    made.link(ONE, Incarnation(2))
    with pytest.raises(RemoteProtocolError, match="node node1 has a later start than 1970"):
        made.hear(ONE, INCARNATION)


def test_a_frame_of_a_type_that_asks_for_nothing_breaks_the_protocol(made: MadeEngine) -> None:
    unknown = max(MessageType) + 1
    with pytest.raises(RemoteProtocolError, match="no request"):
        made.frame(ONE, unknown, 1, b"")


def test_an_answer_of_another_type_counts_as_no_answer(made: MadeEngine) -> None:
    made.put(FULL)
    put = sends(made.settle(), MessageType.PUT_PAGES)[0]
    with pytest.raises(RemoteProtocolError, match="answer of type"):
        made.frame(
            ONE, MessageType.GET_PAGES, 1, bytes(2), request_id=put.request_id, is_reply=True
        )
    assert made.engine.statistics().remotify.unknown_pages_total == put.count
    assert made.engine.look(made.disk, OBJECT, 0, 1)


def test_a_request_without_an_answer_is_unknown(made: MadeEngine) -> None:
    made.put(FULL)
    puts = sends(made.settle(), MessageType.PUT_PAGES)
    for put in puts:
        made.engine.on_request_failed(put.request_id)
    made.settle()
    assert made.engine.statistics().remotify.unknown_pages_total == sum(each.count for each in puts)


def test_an_answer_with_pages_ends_the_get_that_waits(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.get(made.disk, OBJECT, 0, 1, now=made.now)
    (ask,) = sends(made.settle(), MessageType.GET_PAGES)
    table = wire.get_reply_table([0])  # it has none
    effects = made.frame(
        ONE, MessageType.GET_PAGES, 1, table, request_id=ask.request_id, is_reply=True
    )
    assert [type(each) for each in effects if isinstance(each, GetDone)] == [GetDone]
