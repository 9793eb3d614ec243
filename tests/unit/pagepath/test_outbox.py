"""What a pass asks the outside to do: in order, and in frames that keep their limits."""

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import PeerStatus
from ramsterd.core.page import PoolKind
from ramsterd.pagepath.effects import CloseLink, Effect, Send
from ramsterd.pagepath.outbox import REQUEST_ID_MAX, Outbox, shipment_table
from ramsterd.remote import wire
from ramsterd.remote.fetch.asking import FetchRequest
from ramsterd.remote.holders.holders import Holder
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import PAGES_ANY, RANGES_PER_FRAME_MAX, MessageType
from tests.helpers import columns
from tests.helpers.made_leaving import make_leaving

ONE, OTHER = NodeId(1), NodeId(2)
REQUEST_SECONDS = 5.0
# Two zpages of 3 and 2 bytes in one block, and one of 4 in another.
BLOCKS = [
    make_leaving(7, [3, 4], [101, 102], [11, 12], [0x1003, 0x1002], b"aaabb"),
    make_leaving(8, [5], [205], [13], [0x1004], b"cccc"),
]


def make_outbox() -> Outbox:
    return Outbox(request_seconds_max=REQUEST_SECONDS)


def received(send: Effect) -> Frame:
    """Return a frame as the peer receives it."""
    assert isinstance(send, Send)
    return Frame(
        send.type,
        send.is_reply,
        send.request_id,
        send.count,
        memoryview(send.table),
        memoryview(send.body),
    )


def made_of(frames: list[Effect]) -> list[int]:
    return [received(each).type for each in frames]


def make_shipment() -> Shipment:
    return Shipment(PoolKind.PERSISTENT, BLOCKS, (Holder(1, ONE, Incarnation(1)),))


# Order.


def test_effects_are_taken_once_and_in_order() -> None:
    outbox = make_outbox()
    close, closed_too = CloseLink(OTHER, "it is late"), CloseLink(ONE, "it is later")
    outbox.flush(ONE, [5])
    outbox.add(close, closed_too)
    first, *others = outbox.take()
    assert isinstance(first, Send)
    assert others == [close, closed_too]
    assert outbox.take() == []


def test_a_flush_stands_before_the_put_that_comes_after_it() -> None:
    outbox = make_outbox()
    shipment = make_shipment()
    outbox.flush(ONE, [101])
    outbox.put(Put(shipment, shipment.holders[0]), 1, shipment_table(shipment))
    assert made_of(outbox.take()) == [MessageType.FLUSH_PAGES, MessageType.PUT_PAGES]


def test_what_was_taken_is_not_changed_by_what_comes() -> None:
    outbox = make_outbox()
    outbox.add(CloseLink(OTHER, "it is late"))
    taken = outbox.take()
    outbox.add(CloseLink(ONE, "it is later"))
    assert taken == [CloseLink(OTHER, "it is late")]


# Numbers of requests.


def test_requests_are_numbered_from_1() -> None:
    outbox = make_outbox()
    assert [outbox.next_request_id() for _ in range(3)] == [1, 2, 3]
    assert outbox.last_request_id == 3


def test_after_the_last_number_comes_the_first_and_never_0() -> None:
    outbox = make_outbox()
    outbox.last_request_id = REQUEST_ID_MAX - 1
    assert [outbox.next_request_id() for _ in range(3)] == [REQUEST_ID_MAX, 1, 2]


# Frames.


def test_an_answer_has_the_number_and_type_of_its_request() -> None:
    outbox = make_outbox()
    request = Frame(MessageType.GET_PAGES, False, 77, 2, memoryview(b""), memoryview(b""))
    outbox.reply(ONE, request, 2, b"table", b"body")
    outbox.reply(OTHER, request, 0, b"")
    assert outbox.take() == [
        Send(ONE, MessageType.GET_PAGES, 2, b"table", b"body", request_id=77, is_reply=True),
        Send(OTHER, MessageType.GET_PAGES, 0, b"", b"", request_id=77, is_reply=True),
    ]


def test_a_put_carries_all_blocks_of_its_shipment() -> None:
    outbox = make_outbox()
    shipment = make_shipment()
    outbox.put(Put(shipment, shipment.holders[0]), 9, shipment_table(shipment))
    [send] = outbox.take()
    assert isinstance(send, Send)
    assert (send.node, send.request_id, send.is_reply) == (ONE, 9, False)
    assert send.seconds_max == REQUEST_SECONDS
    assert (send.count, send.body) == (3, b"aaabbcccc")
    assert send.table == wire.put_table(
        PoolKind.PERSISTENT, [101, 102, 205], [11, 12, 13], [0x1003, 0x1002, 0x1004]
    )


def test_a_get_names_the_serials_and_is_to_be_answered_in_time() -> None:
    outbox = make_outbox()
    outbox.get(OTHER, FetchRequest(4, [9, 1 << 40], [3, 4]), 12)
    [send] = outbox.take()
    assert isinstance(send, Send)
    assert (send.node, send.request_id, send.is_reply) == (OTHER, 12, False)
    assert send.seconds_max == REQUEST_SECONDS
    assert list(wire.parse_get(received(send))) == [9, 1 << 40]


def test_a_flush_speaks_of_ranges() -> None:
    outbox = make_outbox()
    outbox.flush(ONE, [7, 3, 4, 5, 9])
    [send] = outbox.take()
    assert columns.ranges_of(*wire.parse_flush(received(send))) == [(3, 5), (7, 7), (9, 9)]
    assert received(send).request_id == 0, "no answer is expected"


def test_a_flush_of_nothing_is_no_frame() -> None:
    outbox = make_outbox()
    outbox.flush(ONE, [])
    assert outbox.take() == []


def test_a_flush_of_many_ranges_is_split() -> None:
    outbox = make_outbox()
    serials = list(range(1, 2 * (2 * RANGES_PER_FRAME_MAX + 1), 2))
    outbox.flush(ONE, serials)
    frames = [received(each) for each in outbox.take()]
    assert [frame.count for frame in frames] == [RANGES_PER_FRAME_MAX, RANGES_PER_FRAME_MAX, 1]
    ranges = [each for frame in frames for each in columns.ranges_of(*wire.parse_flush(frame))]
    assert ranges == [(serial, serial) for serial in serials]


def test_a_flush_that_just_fits_is_one_frame() -> None:
    outbox = make_outbox()
    outbox.flush(ONE, list(range(1, 2 * RANGES_PER_FRAME_MAX, 2)))
    assert [received(each).count for each in outbox.take()] == [RANGES_PER_FRAME_MAX]


def test_a_status_arrives_as_it_was_said() -> None:
    outbox = make_outbox()
    status = PeerStatus(
        free_bytes=10,
        budget_bytes=20,
        is_accepting=True,
        pressure=0.5,
        pages_held_for_us=3,
        put_bytes_per_second=4096,
    )
    outbox.status(ONE, status)
    [send] = outbox.take()
    assert received(send).type == MessageType.STATUS
    assert wire.parse_status(received(send)) == status


def test_a_recall_says_the_bound_also_when_it_is_0() -> None:
    outbox = make_outbox()
    outbox.recall(ONE, 240)
    outbox.recall(ONE, 0)
    sent = outbox.take()
    assert made_of(sent) == [MessageType.RECALL] * 2
    assert [wire.parse_recall(received(each)) for each in sent] == [240, 0]


def test_a_recall_without_a_bound_ends_it() -> None:
    outbox = make_outbox()
    outbox.recall(ONE, None)
    [send] = outbox.take()
    assert wire.parse_recall(received(send)) == PAGES_ANY


def test_a_farewell_names_the_incarnation_that_is_over() -> None:
    outbox = make_outbox()
    outbox.farewell(OTHER, Incarnation(1234))
    [send] = outbox.take()
    assert received(send).type == MessageType.FLUSH_OWNER
    assert wire.parse_flush_owner(received(send)) == 1234
