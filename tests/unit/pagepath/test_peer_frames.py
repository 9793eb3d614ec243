"""What a frame of a peer does, and which frames break the protocol."""

from collections.abc import Iterator

import pytest

from net.errors import RemoteProtocolError
from nodemanager.ids import Incarnation
from nodemanager.table import PeerStatus
from ramsterd.core.page import PoolKind
from ramsterd.pagepath.effects import GetDone, Send
from ramsterd.pagepath.own_status import FOLLOW_SECONDS
from ramsterd.remote import wire
from ramsterd.remote.holders.reconcile import RETRY_SECONDS, Reconciled
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.wire import MessageType, PageList
from tests.helpers.foreign_puts import put
from tests.helpers.made_engine import FULL, INCARNATION, OBJECT, ONE, MadeEngine, as_frame, sends
from tests.helpers.made_pages import MIB


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
    sent = sends(made.settle(), MessageType.PUT_PAGES)[0]
    with pytest.raises(RemoteProtocolError, match="answer of type"):
        made.frame(
            ONE, MessageType.GET_PAGES, 1, bytes(2), request_id=sent.request_id, is_reply=True
        )
    assert made.engine.statistics().remotify.unknown_pages_total == sent.count
    assert made.engine.look(made.disk, OBJECT, 0, 1)


def test_a_request_without_an_answer_is_unknown(made: MadeEngine) -> None:
    made.put(FULL)
    puts = sends(made.settle(), MessageType.PUT_PAGES)
    for each in puts:
        made.engine.on_request_failed(each.request_id)
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


# Lists.


def ask_for_list(made: MadeEngine) -> int:
    """Have pages at a peer whose process is followed by another; return the request for its list."""
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, INCARNATION, attach_count=1, now=made.now)
    (ask,) = sends([*made.settle(), *made.wait(0.3)], MessageType.LIST_PAGES)
    assert (ask.node, ask.seconds_max > 0) == (ONE, True)
    return ask.request_id


def test_a_question_for_a_list_is_answered_on_the_same_link(made: MadeEngine) -> None:
    effects = made.frame(ONE, MessageType.LIST_PAGES, 1, wire.list_table(1), request_id=3)
    (answer,) = sends([*effects, *made.wait(0.1)], MessageType.LIST_PAGES)
    assert (answer.node, answer.request_id, answer.is_reply) == (ONE, 3, True)
    assert (answer.count, answer.seconds_max) == (0, 0)


def test_a_question_for_a_list_is_forgotten_with_its_link(made: MadeEngine) -> None:
    put(made.engine.machines.foreign, PoolKind.PERSISTENT, range(1, 17), owner=ONE)
    made.engine.machines.slices.add(iter([1] * 100_000))  # type: ignore[arg-type]  # others have their turn
    made.frame(ONE, MessageType.LIST_PAGES, 1, wire.list_table(1), request_id=3)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert not sends(made.wait(10), MessageType.LIST_PAGES)


def test_an_answer_with_a_list_ends_the_comparison(made: MadeEngine) -> None:
    request_id = ask_for_list(made)
    pages = made.engine.pages_there(ONE)
    listed = PageList([], wire.SERIAL_MAX)
    effects = made.frame(
        ONE,
        MessageType.LIST_PAGES,
        0,
        wire.list_reply_table(listed),
        request_id=request_id,
        is_reply=True,
    )
    effects += made.wait(1)
    assert [each for each in effects if isinstance(each, Reconciled)] == [
        Reconciled(ONE, 0, pages, pages)
    ]
    assert made.engine.store.statistics().lost_pages_total == pages
    assert made.engine.statistics().trust[ONE].bad_copies_total[BadCopy.MISSING] == pages


@pytest.mark.parametrize("kind", [MessageType.GET_PAGES, MessageType.PUT_PAGES])
def test_an_answer_to_a_list_of_another_type_counts_as_no_answer(
    made: MadeEngine, kind: MessageType
) -> None:
    request_id = ask_for_list(made)
    with pytest.raises(RemoteProtocolError, match="answer of type"):
        made.frame(ONE, kind, 1, bytes(2), request_id=request_id, is_reply=True)
    assert not made.engine.machines.reconciler.is_in_flight(request_id)
    assert sends(made.wait(RETRY_SECONDS + 0.1), MessageType.LIST_PAGES), "it is asked again"


def test_a_list_that_is_none_counts_as_no_answer(made: MadeEngine) -> None:
    request_id = ask_for_list(made)
    with pytest.raises(RemoteProtocolError, match="answer to a LIST_PAGES"):
        made.frame(ONE, MessageType.LIST_PAGES, 1, bytes(9), request_id=request_id, is_reply=True)
    assert not made.engine.machines.reconciler.is_in_flight(request_id)


# The same again.


def hear_again(made: MadeEngine, held: int = 1, incarnation: Incarnation = INCARNATION) -> bool:
    """Get a STATUS; return whether a pass has to end because of it."""
    status = PeerStatus(
        budget_bytes=64 * MIB,
        free_bytes=64 * MIB,
        is_accepting=True,
        pressure=0.0,
        pages_held_for_us=held,
    )
    frame = as_frame(Send(ONE, MessageType.STATUS, 1, wire.status_message(status)))
    return made.engine.on_frame(ONE, incarnation, frame, now=made.now)


def test_nothing_follows_from_a_status_that_says_the_same_again(made: MadeEngine) -> None:
    assert not hear_again(made)
    assert hear_again(made, held=2), "it says something else"
    assert not hear_again(made, held=2)


def test_who_is_to_tell_the_same_again_does_not_overhear_others_that_do(made: MadeEngine) -> None:
    made.now += FOLLOW_SECONDS
    assert hear_again(made)
    assert {each.type for each in sends(made.settle())} == {MessageType.STATUS}
    assert not hear_again(made)


def test_what_was_said_on_another_link_is_not_the_same(made: MadeEngine) -> None:
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert hear_again(made)
    assert not hear_again(made)
    made.engine.on_link_up(ONE, Incarnation(2), now=made.now)
    assert hear_again(made, incarnation=Incarnation(2))
    with pytest.raises(RemoteProtocolError, match="later start"):
        hear_again(made)


def test_a_peer_that_still_says_that_it_keeps_nothing_after_it_stored_pages_has_lost_them(
    made: MadeEngine,
) -> None:
    hear_again(made, held=0)
    assert not hear_again(made, held=0)
    made.store_at(ONE)
    assert hear_again(made, held=0)
    assert made.engine.machines.trust.is_disowning(ONE)


def test_what_waits_for_a_status_gets_it_though_it_says_the_same(made: MadeEngine) -> None:
    candidates = made.engine.machines.remotifier.candidates
    made.put(FULL)
    puts = sends(made.settle(), MessageType.PUT_PAGES)
    assert hear_again(made), "what is under way is not in it"
    for each in puts:
        made.engine.on_request_failed(each.request_id)
    assert candidates.all(PoolKind.PERSISTENT)[0].is_doubtful
    assert hear_again(made)
    assert not candidates.all(PoolKind.PERSISTENT)[0].is_doubtful
