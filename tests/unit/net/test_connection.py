from typing import cast

import pytest

from net.connection import (
    HELLO_SECONDS_MAX,
    Closed,
    Connection,
    ConnectionLimits,
    Contested,
    Effect,
    Opened,
    RequestsFailed,
    Send,
    State,
)
from net.errors import LocalProtocolError, RemoteProtocolError
from net.frame import FrameDecoder, LinkType
from net.hello import Hello, encode_reason, parse_reason
from net.judgement import Accepted, Judgement, Refused, Undecided
from net.link import Failure, Link
from net.packing import pack_fields
from tests.helpers.links import (
    ASK,
    CONNECTION_LIMITS,
    LIMITS,
    decode_one,
    make_frame,
    make_hello,
)

HELLO_FRAME = make_frame(LinkType.HELLO, table=make_hello(2).encode())


def make_connection(*, is_dialer: bool = False, refusal: str | None = None) -> Connection:
    return Connection(
        make_hello(1),
        is_dialer=is_dialer,
        judge=lambda *_: Accepted() if refusal is None else Refused(refusal),
        limits=CONNECTION_LIMITS,
        now=0.0,
    )


def make_open() -> Connection:
    connection = make_connection()
    connection.on_greeting(decode_one(HELLO_FRAME))
    assert connection.state is State.OPEN
    return connection


def give(connection: Connection, *frames: bytes) -> tuple[list[int], list[Effect]]:
    """Let frames arrive together; return the request ids of those passed on, and the effects."""
    data = b"".join(frames)
    decoder = FrameDecoder(LIMITS)
    decoder.space()[: len(data)] = data
    decoder.on_received(len(data))
    passed, effects = connection.on_frames(decoder.frames())
    connection.check_invariants()
    return [frame.request_id for frame in passed], effects


def reply(request_id: int) -> bytes:
    return make_frame(ASK, request_id=request_id, is_reply=True)


def test_the_dialling_side_says_hello_first() -> None:
    assert make_connection(is_dialer=True).start() == [Send(LinkType.HELLO, make_hello(1).encode())]
    assert make_connection().start() == []


def test_the_accepting_side_answers_before_it_opens() -> None:
    connection = make_connection()
    assert connection.on_greeting(decode_one(HELLO_FRAME)) == [
        Send(LinkType.HELLO, make_hello(1).encode()),
        Opened(make_hello(2)),
    ]


def test_the_dialling_side_opens_on_the_answer() -> None:
    connection = make_connection(is_dialer=True)
    connection.start()
    assert connection.on_greeting(decode_one(HELLO_FRAME)) == [Opened(make_hello(2))]


class Present:
    """A link that somebody else has already, as far as this machine looks at it."""


def contest(*later: Judgement) -> Connection:
    """Return a connection that waits until another link was probed; `later` is what is judged from then on."""
    doubt = Undecided(cast("Link", Present()), bytes_received=0, until=1.0)
    found = iter([doubt, *later])
    judged: list[Undecided | None] = []

    def judge(_: Hello, before: Undecided | None) -> Judgement:
        judged.append(before)
        assert judged[0] is None
        return next(found)

    connection = Connection(
        make_hello(1), is_dialer=False, judge=judge, limits=CONNECTION_LIMITS, now=0.0
    )
    assert connection.on_greeting(decode_one(HELLO_FRAME)) == [Contested(doubt.present)]
    connection.check_invariants()
    return connection


def test_one_who_is_contested_hears_nothing_until_that_is_decided() -> None:
    connection = contest(Accepted())
    assert connection.next_deadline() == 1.0
    assert connection.on_deadline(now=0.9) == []
    assert connection.on_deadline(now=1.0) == [
        Send(LinkType.HELLO, make_hello(1).encode()),
        Opened(make_hello(2)),
    ]
    connection.check_invariants()


def test_one_who_is_contested_may_be_refused_in_the_end() -> None:
    connection = contest(Refused("a second link"))
    reject, closed = connection.on_deadline(now=1.0)
    assert isinstance(reject, Send)
    assert parse_reason(reject.payload) == "a second link"
    assert closed == Closed("refused: a second link")
    connection.check_invariants()


def test_one_who_is_contested_is_judged_at_once_when_the_other_link_ends() -> None:
    connection = contest(Accepted())
    connection.on_present_ended(now=0.3)
    assert connection.next_deadline() == 0.3
    assert Opened(make_hello(2)) in connection.on_deadline(now=0.3)


def test_one_who_is_contested_may_go_and_may_not_speak() -> None:
    connection = contest()
    with pytest.raises(RemoteProtocolError, match="before both said HELLO"):
        connection.on_greeting(decode_one(HELLO_FRAME))
    goodbye = make_frame(LinkType.GOODBYE, table=encode_reason("bye"))
    assert connection.on_greeting(decode_one(goodbye)) == [
        Closed("closed by the peer: bye", is_in_order=True)
    ]
    connection.on_present_ended(now=5.0)
    assert connection.on_deadline(now=9.0) == []
    connection.check_invariants()


def test_a_probe_is_answered_at_once_and_however_many_come_together_once() -> None:
    connection = make_open()
    probe = make_frame(LinkType.PROBE)
    assert give(connection, probe, reply(1), probe) == ([], [Send(LinkType.KEEPALIVE)])
    goodbye = make_frame(LinkType.GOODBYE, table=encode_reason("bye"))
    assert give(connection, probe, goodbye)[1] == [
        Closed("closed by the peer: bye", is_in_order=True)
    ]


def test_only_an_open_link_is_probed() -> None:
    connection = make_open()
    assert connection.ask() == [Send(LinkType.PROBE)]
    connection.on_lost("cut")
    assert connection.ask() == []


@pytest.mark.parametrize("is_dialer", [False, True])
def test_a_refused_hello_is_told_with_its_reason(is_dialer: bool) -> None:
    connection = make_connection(is_dialer=is_dialer, refusal="other cluster")
    reject, closed = connection.on_greeting(decode_one(HELLO_FRAME))
    assert isinstance(reject, Send)
    assert reject.frame_type is LinkType.REJECT
    assert parse_reason(reject.payload) == "other cluster"
    assert closed == Closed("refused: other cluster")
    connection.check_invariants()


def test_a_rejection_closes_with_their_reason() -> None:
    connection = make_connection(is_dialer=True)
    frame = decode_one(make_frame(LinkType.REJECT, table=encode_reason("a second link")))
    assert connection.on_greeting(frame) == [Closed("the peer refused this node: a second link")]


@pytest.mark.parametrize(
    "frame",
    [
        make_frame(LinkType.KEEPALIVE),
        make_frame(ASK, request_id=1),
        make_frame(LinkType.HELLO, table=b"\xc1"),
        make_frame(LinkType.HELLO, request_id=3, table=make_hello(2).encode()),
        make_frame(LinkType.REJECT, table=b"\xc1"),
    ],
)
def test_anything_else_first_is_a_protocol_error(frame: bytes) -> None:
    connection = make_connection()
    with pytest.raises(RemoteProtocolError):
        connection.on_greeting(decode_one(frame))
    effects = connection.on_broken("that")
    assert effects == [
        Send(LinkType.REJECT, encode_reason("that")),
        Closed("protocol error: that"),
    ]


def test_a_greeting_that_takes_too_long_is_closed() -> None:
    connection = make_connection()
    assert connection.next_deadline() == HELLO_SECONDS_MAX
    assert connection.on_deadline(now=HELLO_SECONDS_MAX - 0.1) == []
    assert connection.on_deadline(now=HELLO_SECONDS_MAX) == [Closed("no HELLO within 5 s")]
    assert connection.next_deadline() is None
    assert connection.on_deadline(now=99.0) == []


def test_a_keepalive_follows_our_own_silence_only() -> None:
    connection = make_open()
    connection.on_sent(now=1.0)
    connection.on_received(now=2.9)
    assert connection.next_deadline() == 3.0
    assert connection.on_deadline(now=2.9) == []
    assert connection.on_deadline(now=3.0) == [Send(LinkType.KEEPALIVE)]
    assert connection.next_deadline() == 5.0


def test_any_byte_counts_as_a_sign_of_life_and_idle_ends_the_link() -> None:
    connection = make_open()
    connection.on_received(now=10.0)
    connection.on_sent(now=39.9)
    assert connection.on_deadline(now=39.9) == []
    assert connection.on_deadline(now=40.0) == [Closed("no data for 30 s (idle_seconds)")]


def test_a_keepalive_from_them_is_not_passed_on() -> None:
    assert give(make_open(), make_frame(LinkType.KEEPALIVE)) == ([], [])


def test_a_reply_completes_its_request_once() -> None:
    connection = make_open()
    connection.begin_request(7, 1.0)
    assert give(connection, reply(7), reply(7)) == ([7], [])
    assert connection.late_replies_total == 1
    assert connection.requests_in_flight == 0
    assert connection.frames_received_total == 3


def test_a_request_of_theirs_may_have_an_id_of_ours() -> None:
    connection = make_open()
    connection.begin_request(7, 1.0)
    assert give(connection, make_frame(ASK, request_id=7)) == ([7], [])
    assert connection.requests_in_flight == 1


def test_a_request_without_an_answer_times_out_and_its_reply_is_late() -> None:
    connection = make_open()
    connection.begin_request(7, 1.5)
    assert connection.next_deadline() == 1.5
    assert connection.on_deadline(now=1.5) == [RequestsFailed(((7, Failure.TIMED_OUT),))]
    assert connection.timeouts_total == 1
    assert give(connection, reply(7)) == ([], [])
    assert connection.late_replies_total == 1


def test_a_lost_link_fails_every_request_at_once() -> None:
    connection = make_open()
    connection.begin_request(7, 1.5)
    connection.begin_request(8, 1.5)
    assert connection.on_lost("cut") == [
        RequestsFailed(((7, Failure.LOST), (8, Failure.LOST))),
        Closed("cut"),
    ]
    connection.check_invariants()
    with pytest.raises(LocalProtocolError, match="closed"):
        connection.begin_request(9, 1.0)


def test_no_request_before_the_link_is_open() -> None:
    with pytest.raises(LocalProtocolError, match="greeting"):
        make_connection().begin_request(1, 1.0)


def test_a_goodbye_ends_the_link_after_the_frames_before_it() -> None:
    connection = make_open()
    connection.begin_request(7, 1.0)
    goodbye = make_frame(LinkType.GOODBYE, table=encode_reason("maintenance"))
    assert give(connection, reply(7), goodbye, make_frame(ASK, request_id=9)) == (
        [7],
        [Closed("closed by the peer: maintenance", is_in_order=True)],
    )


def test_we_leave_with_a_goodbye() -> None:
    connection = make_open()
    connection.begin_request(7, 1.0)
    assert connection.on_leaving("stop") == [
        Send(LinkType.GOODBYE, encode_reason("stop")),
        RequestsFailed(((7, Failure.LOST),)),
        Closed("closed by this node: stop", is_in_order=True),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        HELLO_FRAME,
        make_frame(LinkType.KEEPALIVE, request_id=1),
        make_frame(LinkType.GOODBYE, table=pack_fields([5])),
        make_frame(ASK)[:5] + b"\x07" + make_frame(ASK)[6:],
    ],
    ids=["second HELLO", "keepalive with id", "bad reason", "bad header"],
)
def test_replies_before_a_protocol_error_still_reach_their_requests(bad: bytes) -> None:
    connection = make_open()
    connection.begin_request(7, 1.0)
    connection.begin_request(8, 1.0)
    passed, effects = give(connection, reply(7), bad)
    assert passed == [7]
    reject, failed, closed = effects
    assert isinstance(reject, Send)
    assert reject.frame_type is LinkType.REJECT
    assert failed == RequestsFailed(((8, Failure.LOST),))
    assert isinstance(closed, Closed)
    assert closed.reason.startswith("protocol error: ")


def test_keepalive_must_come_before_idle() -> None:
    with pytest.raises(AssertionError):
        ConnectionLimits(keepalive_seconds=30.0, idle_seconds=30.0)
