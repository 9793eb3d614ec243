"""Any bytes are frames within their limits or RemoteProtocolError, the same however they are cut; encoded again they are the same bytes."""

import random
from collections.abc import Mapping

from net.errors import RemoteProtocolError
from net.frame import COUNT_MAX, FRAME_BYTES_MAX, FrameDecoder, LinkType
from ramsterd.asking.messages import ALL_LIMITS, AskingMessage
from ramsterd.membership.messages import MemberMessage
from ramsterd.remote.wire import MessageType
from tests.fuzz.repairing import repair_frames
from tests.fuzz.target import Target, pieces
from tests.helpers.buffers import unread_bytes
from tests.helpers.links import Seen, make_frame, seen


def decode(stream: bytes, rule: int) -> tuple[list[Seen], int, str]:
    """Return the frames, how many bytes are unread, and why that was the end."""
    decoder = FrameDecoder(ALL_LIMITS)
    found: list[Seen] = []
    for piece in pieces(stream, rule):
        rest = piece
        while rest:
            space = decoder.space()
            assert len(space) > 0, "nothing could ever be received again"
            count = min(len(space), len(rest))
            space[:count], rest = rest[:count], rest[count:]
            decoder.on_received(count)
            if reason := take(decoder, found):
                assert take(decoder, []) == reason, "refused once is refused"
                return found, 0, reason
            assert unread_bytes(decoder) <= FRAME_BYTES_MAX
    return found, unread_bytes(decoder), ""


def take(decoder: FrameDecoder, found: list[Seen]) -> str:
    """Take the frames that are there; return why the next is refused."""
    try:
        found.extend(seen(each) for each in decoder.frames())
    except RemoteProtocolError as error:
        return str(error)
    return ""


def encode(each: Seen) -> bytes:
    assert each.count <= COUNT_MAX
    return make_frame(
        each.type,
        each.count,
        each.table,
        each.body,
        request_id=each.request_id,
        is_reply=each.is_reply,
    )


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut."""
    rule, stream = data[:1], data[1:]
    found, unread, reason = decode(stream, 0)
    if rule:
        cut, _, cut_reason = decode(stream, rule[0])
        assert (cut, cut_reason) == (found, reason), "another cut, other frames"
    again = b"".join(encode(each) for each in found)
    assert stream.startswith(again)
    if not reason:
        assert len(again) + unread == len(stream)
    outcomes = {f"type {each.type}" for each in found}
    outcomes |= {"reply" for each in found if each.is_reply}
    outcomes |= {"body" for each in found if each.body}
    outcomes |= {"refused"} if reason else set()
    return outcomes | ({"unfinished"} if unread else set())


def seeds() -> Mapping[str, bytes]:
    everything = b"".join(
        make_frame(kind, request_id=1 if kind in MessageType else 0)
        for kind in (*LinkType, *MessageType, *MemberMessage, *AskingMessage)
    )
    put = make_frame(MessageType.PUT_PAGES, 1, bytes(26), bytes(4096), request_id=7)
    reply = make_frame(MessageType.PUT_PAGES, 1, b"\0", request_id=7, is_reply=True)
    return {
        "every-type": b"\x02" + everything,
        "put-and-reply": b"\x01" + put[:900] + reply,
        "put": b"\x03" + put + reply,
        "unfinished": b"\x01" + put[:30],
        "refused": b"\x01" + reply + b"GET / HTTP/1.1\r\nHost: here",
    }


def repair(data: bytes, _: random.Random) -> bytes:
    limits = {**ALL_LIMITS, **FrameDecoder({})._limits}
    return data[:1] + repair_frames(data[1:], limits)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {f"type {kind:d}" for kind in (*LinkType, *MessageType, *MemberMessage, *AskingMessage)}
        | {"reply", "body", "refused", "unfinished"}
    ),
    repair=repair,
    bytes_max=8192,
)
