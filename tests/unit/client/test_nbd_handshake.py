"""The client's half of the handshake against the server's own, which is pure, and against what nobody should send."""

import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, strategies as st

from config.limits import PAGE_BYTES
from ramsterd.client.nbd_handshake import (
    REPLIES_MAX,
    Channel,
    ConnectionLost,
    ExportRefused,
    HandshakeFailed,
    NbdError,
    Offer,
    shake_hands,
)
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import Negotiation
from ramsterd.frontends.nbd.protocol import OPTION_REPLY_MAGIC, TransmissionFlag

DISK = Export(name="disk", size=8 * PAGE_BYTES, pool=PoolId(1), object_id=b"d")
GREETING = b"NBDMAGICIHAVEOPT\x00\x03"


class Pipe:
    """Stands for a socket: what the client sends goes to a function, which says what it receives."""

    def __init__(self, answer: Callable[[bytes], Iterator[bytes]], said: bytes) -> None:
        self._answer = answer
        self._said = said
        self.timeouts: list[float | None] = []

    def sendall(self, data: bytes) -> None:
        self._said += b"".join(self._answer(data))

    def recv_into(self, view: memoryview) -> int:
        count = min(len(view), len(self._said), 3)
        view[:count] = self._said[:count]
        self._said = self._said[count:]
        return count

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)


def channel_to(exports: list[Export]) -> Channel:
    server = Negotiation(exports)
    return Channel(Pipe(server.receive_data, server.greeting()))  # type: ignore[arg-type]


def told(said: bytes) -> Channel:
    return Channel(Pipe(lambda _: iter(()), said))  # type: ignore[arg-type]


def reply(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", OPTION_REPLY_MAGIC, 7, kind, len(data)) + data


@pytest.mark.parametrize("asked", ["disk", ""])
def test_an_offer_has_all_that_the_server_says(asked: str) -> None:
    offer = shake_hands(channel_to([DISK]), asked)
    assert offer == Offer(name="disk", size=DISK.size, flags=offer.flags)
    assert TransmissionFlag(offer.flags) == DISK.transmission_flags(is_structured=False)


def test_a_refusal_has_the_words_of_the_server() -> None:
    with pytest.raises(ExportRefused) as caught:
        shake_hands(channel_to([DISK]), "other")
    assert caught.value.reason == "no such export"


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "error 6"), (b"a\nb\xff", "a?b\N{REPLACEMENT CHARACTER}")]
)
def test_a_refusal_is_one_line_whatever_the_server_sends(data: bytes, reason: str) -> None:
    said = GREETING + reply((1 << 31) + 6, data)
    with pytest.raises(ExportRefused) as caught:
        shake_hands(told(said), "disk")
    assert caught.value.reason == reason


def test_a_server_that_never_comes_to_the_point_is_given_up() -> None:
    info = reply(3, struct.pack(">HQH", 0, PAGE_BYTES, 1))
    with pytest.raises(HandshakeFailed, match="more than 64 replies"):
        shake_hands(told(GREETING + info * REPLIES_MAX + reply(1)), "disk")


def test_an_ack_without_the_export_is_no_offer() -> None:
    with pytest.raises(HandshakeFailed, match="reply 0x1"):
        shake_hands(told(GREETING + reply(1)), "disk")


def test_a_server_that_drips_has_one_deadline_for_all() -> None:
    clock = iter([10.0, 11.0, 12.0, 13.0, 17.0])
    pipe = Pipe(lambda _: iter(()), b"123456789")
    channel = Channel(pipe, seconds_max=5.0, clock=lambda: next(clock))  # type: ignore[arg-type]
    assert channel.receive(9) == b"123456789"
    with pytest.raises(ConnectionLost):
        channel.receive(1)
    assert pipe.timeouts == [4.0, 3.0, 2.0, 0.001]


def test_a_real_socket_times_out() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ConnectionLost, match="can't receive"):
        Channel(ours, seconds_max=0.01).receive(1)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_an_offer_or_a_named_error(data: bytes, is_greeted: bool) -> None:
    try:
        shake_hands(told(GREETING * is_greeted + data), "disk")
    except NbdError:
        pass


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, (1 << 31) + 2, 77]), st.binary(max_size=24)), max_size=6
    )
)
def test_any_replies_are_an_offer_or_a_named_error(replies: list[tuple[int, bytes]]) -> None:
    said = GREETING + b"".join(reply(kind, data) for kind, data in replies)
    try:
        offer = shake_hands(told(said), "disk")
    except NbdError:
        return
    assert 0 <= offer.size < 1 << 64
