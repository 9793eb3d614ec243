"""Requests in, replies out: one pass, and what completes after it."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import (
    IN_FLIGHT_BYTES_MAX,
    PASS_PAGES_MAX,
    PAYLOAD_BYTES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    REPLY_BYTES_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    SLICE_PAGES,
    Command,
    CommandFlag,
    Errno,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.pager import GetResult
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import (
    Structured,
    parse_replies,
    parse_structured,
    request,
    write,
)
from tests.fakes.poisoned_pool import POISONED

EXPORT = Export(name="disk", size=64 << 20, pool=PoolId(1), object_id=b"disk")
PAGE = b"p" * PAGE_BYTES


class Client:
    """Says things to a transmission and reads what it answers."""

    def __init__(self, pager: FakePager | None = None, *, is_structured: bool = False) -> None:
        self.pager = FakePager() if pager is None else pager
        self.counters = Counters()
        self.wakes_count = 0
        session = Session(export=EXPORT, is_structured=is_structured, has_allocation=is_structured)
        self.transmission = Transmission(
            session, self.pager, self.counters, self._wake, pool=POISONED
        )
        self.transmission.serve()

    def _wake(self) -> None:
        self.wakes_count += 1

    def say(self, data: bytes) -> None:
        """Let the server receive and serve `data`, as often as it has room."""
        while data:
            count = min(len(data), len(self.transmission.received.space()))
            self.transmission.received.feed(data[:count])
            data = data[count:]
            self.transmission.serve()
            self.serve_on()
            if not self.transmission.has_unserved:
                self.transmission.received.on_idle()

    def serve_on(self) -> None:
        """Serve what passes have left, as far as the limits allow."""
        while self.transmission.has_unserved and not self.transmission.is_full:
            self.transmission.serve()

    def take(self, **reads: int) -> dict[int, Errno | bytes]:
        """Take every queued reply; `c5=4096` says that cookie 5 is a READ of a page."""
        replies = self.transmission.replies
        data = b"".join(replies.pieces)
        assert len(data) == replies.queued_bytes
        replies.on_sent(len(data))
        return parse_replies(data, {int(name[1:]): count for name, count in reads.items()})


def test_requests_received_together_are_answered_together() -> None:
    client = Client()
    client.say(
        write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096) + request(Command.READ, 3, 4096, 8192)
    )
    assert client.take(c2=4096, c3=8192) == {1: Errno.NONE, 2: PAGE, 3: bytes(8192)}
    assert client.pager.calls == {"put": 1, "get": 2}


def test_fua_is_accepted_everywhere_and_unknown_flags_are_invalid() -> None:
    client = Client()
    client.say(
        write(1, 0, PAGE, flags=CommandFlag.FUA)
        + request(Command.READ, 2, 0, 4096, flags=CommandFlag.FUA)
        + request(Command.FLUSH, 3, flags=CommandFlag.FUA)
        + request(Command.TRIM, 4, 0, 4096, flags=CommandFlag.FUA)
        + request(Command.READ, 5, 0, 4096, flags=CommandFlag.DF)
    )
    answers = client.take(c2=4096)
    assert answers == {1: 0, 2: PAGE, 3: 0, 4: 0, 5: Errno.EINVAL}


def test_a_refused_write_skips_its_payload_even_in_pieces() -> None:
    client = Client()
    said = write(1, EXPORT.size, PAGE) + write(2, 0, PAGE, flags=0x80) + write(3, 0, PAGE)
    for at in range(0, len(said), 1000):
        client.say(said[at : at + 1000])
    assert client.take() == {1: Errno.ENOSPC, 2: Errno.EINVAL, 3: Errno.NONE}


@pytest.mark.parametrize("pages", [1, 32], ids=["a page", "many"])
def test_it_lacks_bytes_until_a_request_is_whole(pages: int) -> None:
    """And no longer: then there is something to serve."""
    client = Client()
    received = client.transmission.received
    said = write(1, 0, PAGE * pages)
    for at in range(0, len(said), 1000):
        received.space()
        received.feed(said[at : at + 1000])
        lacks_bytes = client.transmission.lacks_bytes
        # As soon as its head is there, the head is served, and says what is to come.
        client.transmission.serve()
        assert lacks_bytes == (0 < at < len(said) - 1000)
    assert client.take() == {1: Errno.NONE}


def test_a_write_that_is_stored_in_parts_lacks_nothing() -> None:
    client = Client()
    received = client.transmission.received
    received.space()
    received.feed(write(1, 0, PAGE * 128)[: RECEIVE_BYTES // 2])
    client.transmission.serve()
    received.feed(b"p" * 10)
    assert not client.transmission.lacks_bytes


def test_an_unknown_command_is_invalid_and_the_next_request_is_served() -> None:
    client = Client()
    client.say(request(4711, 1, 0, 4096) + request(Command.FLUSH, 2))
    assert client.take() == {1: Errno.EINVAL, 2: Errno.NONE}
    assert client.counters.requests_total()["UNKNOWN"] == 1
    assert client.counters.errors[Errno.EINVAL] == 1


def test_write_zeroes_and_trim_are_answered() -> None:
    client = Client()
    client.say(write(1, 0, PAGE * 3))
    client.say(request(Command.WRITE_ZEROES, 2, 10, 5000) + request(Command.TRIM, 3, 8192, 4096))
    client.say(request(Command.READ, 4, 0, 3 * 4096))
    zeroed = PAGE[:10] + bytes(5000) + PAGE[5010 - 4096 :] + bytes(4096)
    assert client.take(c4=3 * 4096) == {1: 0, 2: 0, 3: 0, 4: zeroed}


@pytest.mark.slow
def test_the_largest_write_and_read_are_served() -> None:
    client = Client()
    client.say(write(1, 0, bytes(PAYLOAD_BYTES_MAX)))
    client.say(request(Command.READ, 2, 0, PAYLOAD_BYTES_MAX))
    assert client.take(c2=PAYLOAD_BYTES_MAX) == {1: Errno.NONE, 2: bytes(PAYLOAD_BYTES_MAX)}


@pytest.mark.slow
def test_a_write_over_the_limit_is_refused_and_its_payload_is_skipped() -> None:
    client = Client()
    client.say(write(1, 0, bytes(PAYLOAD_BYTES_MAX + 1)) + write(2, 0, PAGE))
    assert client.take() == {1: Errno.EINVAL, 2: Errno.NONE}
    assert client.pager.calls == {"put": 1}


def test_a_refused_write_is_answered_when_its_payload_is_skipped() -> None:
    """libnbd takes an answer to what it is still sending for one to nothing it asked."""
    client = Client()
    client.say(write(1, EXPORT.size, PAGE * 100)[:-1])
    assert client.take() == {}
    client.say(PAGE[-1:])
    assert client.take() == {1: Errno.ENOSPC}


def test_a_write_far_over_the_limit_is_refused_and_ends_the_connection() -> None:
    client = Client()
    client.say(write(1, 0, PAGE))
    patient = Client()
    patient.say(request(Command.WRITE, 2, 0, REFUSED_PAYLOAD_BYTES_MAX))
    assert patient.take() == {}, "one byte less is skipped"
    with pytest.raises(RemoteProtocolError, match="WRITE of 67108865 bytes"):
        client.say(request(Command.WRITE, 3, 0, REFUSED_PAYLOAD_BYTES_MAX + 1))
    assert client.take() == {1: Errno.NONE, 3: Errno.EINVAL}


def test_garbage_ends_the_connection_after_the_requests_before_it() -> None:
    client = Client()
    with pytest.raises(RemoteProtocolError, match="request magic 0x47455420"):
        client.say(write(1, 0, PAGE) + b"GET / HTTP/1.1 and so on and on")
    assert client.take() == {1: Errno.NONE}
    assert client.counters.requests[Command.WRITE] == 1


def test_the_pager_errors_become_errnos() -> None:
    client = Client()
    client.pager.lost.add(1)
    client.pager.is_refusing = True
    client.say(write(1, 0, PAGE) + write(2, 5, b"x") + request(Command.READ, 3, 4096, 4096))
    client.say(request(Command.READ, 4, 4097, 1) + write(5, 4097, b"x"))
    assert client.take() == {
        1: Errno.ENOSPC,
        2: Errno.ENOSPC,
        3: Errno.EIO,
        4: Errno.EIO,
        5: Errno.EIO,
    }
    assert client.counters.errors[Errno.EIO] == 3
    assert client.counters.errors[Errno.ENOSPC] == 2


def test_replies_that_wait_leave_out_of_order_and_wake_the_sender() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(request(Command.READ, 1, 0, 4096) + write(2, 4096, PAGE))
    client.say(request(Command.READ, 3, 1, 2) + write(4, 9000, b"x") + write(5, 0, PAGE * 2))
    assert client.take() == {}
    assert client.transmission.in_flight_count == client.counters.in_flight_count == 5
    client.pager.is_delaying = False
    client.say(request(Command.READ, 6, 0, 4096))
    assert client.take(c6=4096) == {6: bytes(4096)}
    assert client.wakes_count == 0
    client.pager.release(random.Random(1))
    answers = client.take(c1=4096, c3=2)
    assert set(answers) == {1, 2, 3, 4, 5}
    assert client.wakes_count == 5
    assert client.transmission.in_flight_bytes == client.counters.in_flight_count == 0


def answered(client: Client) -> dict[str, int]:
    """Let time pass at the end of a pass; return how many requests are counted so far, by operation and tier."""
    client.counters.latency.end_pass(1.0)
    client.counters.latency.began_at = 1.0
    latency = client.counters.latency.statistics()
    return {
        name: sum(getattr(latency, name).counts)
        for name in ("read_local", "read_peer", "write_local", "write_peer")
        if sum(getattr(latency, name).counts)
    }


@pytest.mark.parametrize("is_structured", [False, True])
def test_everyday_and_rare_requests_are_counted_once_by_operation_and_tier(
    *, is_structured: bool
) -> None:
    """Requests for other things than data, and those that are refused at once, are not."""
    client = Client(is_structured=is_structured)
    long = PAGE * (2 * SLICE_PAGES)
    said = [
        write(1, 0, PAGE) + write(2, 5, b"x") + write(3, 0, long),
        request(Command.READ, 4, 0, 4096) + request(Command.READ, 5, 1, 2),
        request(Command.READ, 6, 0, len(long)),
        request(Command.TRIM, 7, 0, 4096) + request(Command.FLUSH, 8),
        request(Command.READ, 9, EXPORT.size, 4096) + write(10, 0, PAGE, flags=0x80),
    ]
    for each in said:
        client.say(each)
        client.transmission.replies.clear()
    assert answered(client) == {"read_local": 3, "write_local": 3}
    client.pager.is_delaying = True
    for each in said[:4]:
        client.say(each)
        client.pager.release()
        client.transmission.replies.clear()
    client.serve_on()
    client.pager.release()
    assert answered(client) == {
        "read_local": 3,
        "write_local": 3,
        "read_peer": 3,
        "write_peer": 3,
    }
    assert client.counters.requests[Command.READ] == 7, "the one past the end counts as a request"


def test_a_request_that_nobody_waits_for_any_more_is_not_counted() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(request(Command.READ, 1, 0, 4096))
    client.transmission.close()
    client.pager.release()
    assert answered(client) == {}


def test_a_late_error_is_answered_too() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(request(Command.READ, 1, 0, 4096) + write(2, 0, PAGE))
    client.pager.lost.add(0)
    client.pager.is_refusing = True
    client.pager.release()
    assert client.take() == {1: Errno.EIO, 2: Errno.ENOSPC}


def test_replies_that_nobody_takes_stop_the_pass_and_it_goes_on_later() -> None:
    client = Client()
    count = REPLY_BYTES_MAX // PAGE_BYTES + 10
    said = b"".join(request(Command.READ, cookie, 0, 4096) for cookie in range(count))
    assert len(said) < RECEIVE_BYTES
    client.say(said)
    transmission = client.transmission
    assert (transmission.is_full, transmission.has_unserved) == (True, True)
    reads = {f"c{cookie}": 4096 for cookie in range(count)}
    first = client.take(**reads)
    transmission.serve()
    assert (transmission.is_full, transmission.has_unserved) == (False, False)
    assert sorted([*first, *client.take(**reads)]) == list(range(count))


def test_requests_in_flight_are_limited() -> None:
    client = Client()
    client.pager.is_delaying = True
    count = REQUESTS_IN_FLIGHT_MAX + 1
    client.say(b"".join(request(Command.READ, cookie, 0, 4096) for cookie in range(count)))
    assert client.transmission.in_flight_count == REQUESTS_IN_FLIGHT_MAX
    assert client.transmission.is_full
    client.pager.release()
    client.take(**{f"c{cookie}": 4096 for cookie in range(count)})
    client.transmission.serve()
    assert client.transmission.in_flight_count == 1


def test_bytes_in_flight_are_limited() -> None:
    client = Client()
    client.pager.is_delaying = True
    length = IN_FLIGHT_BYTES_MAX // 2
    client.say(b"".join(request(Command.READ, cookie, 0, length) for cookie in range(3)))
    assert client.transmission.in_flight_count == 2
    assert client.transmission.has_unserved


def test_after_a_disconnect_nothing_is_served_and_what_waits_is_answered() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(write(1, 0, PAGE) + request(Command.DISC, 2) + write(3, 0, PAGE))
    finished = [client.transmission.is_finished]
    client.pager.release()
    finished.append(client.transmission.is_finished)
    assert client.take() == {1: Errno.NONE}
    finished.append(client.transmission.is_finished)
    assert finished == [False, False, True]


def test_a_closed_connection_ignores_what_comes_late() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096) + write(3, 1, b"x"))
    client.transmission.close()
    assert client.counters.in_flight_count == 0
    client.pager.release()
    assert client.wakes_count == 0
    assert client.counters.in_flight_count == 0
    assert not client.transmission.replies.pieces


class ReleasingPager(FakePager):
    """A pager in which one call completes those before it, as a put that makes room does."""

    def get(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        self.release()
        return super().get(pool, object_id, index, count, done)


def test_what_completes_during_a_pass_wakes_nobody() -> None:
    """The pass sends its replies anyway, and with them those it completed."""
    client = Client(ReleasingPager())
    client.pager.is_delaying = True
    client.say(request(Command.READ, 1, 0, 4096))
    client.pager.is_delaying = False
    client.say(request(Command.READ, 2, 0, 4096))
    assert set(client.take(c1=4096, c2=4096)) == {1, 2}
    assert client.wakes_count == 0


def test_requests_are_counted_by_command() -> None:
    client = Client()
    client.say(write(1, 0, PAGE) + write(2, 1, b"x") + request(Command.READ, 3, 0, 4096))
    client.say(request(Command.TRIM, 4, 0, 4096) + request(Command.FLUSH, 5))
    total = client.counters.requests_total()
    assert total["WRITE"] == 2
    assert total["READ"] == total["TRIM"] == total["FLUSH"] == 1


def passes(client: Client, said: bytes, call: str) -> list[int]:
    """Return how many calls of the pager each pass made."""
    client.transmission.received.feed(said)
    counts: list[int] = []
    while not counts or client.transmission.has_unserved:
        before = client.pager.calls[call]
        client.transmission.serve()
        counts.append(client.pager.calls[call] - before)
        client.transmission.replies.on_sent(client.transmission.replies.queued_bytes)
    return counts


@pytest.mark.parametrize(
    ("said", "call", "most"),
    [
        (request(Command.READ, 1, 0, 4096), "get", PASS_PAGES_MAX),
        (request(Command.READ, 1, 0, 65536), "get", PASS_PAGES_MAX // 16),
        (request(Command.READ, 1, 1, 4095), "get", PASS_PAGES_MAX),
        (request(Command.TRIM, 1, 0, 4 << 20), "drop", 1),
        (request(Command.TRIM, 1, 0, 65536), "drop", PASS_PAGES_MAX // 16),
        (request(Command.WRITE_ZEROES, 1, 0, 65536, flags=2), "put_zeros", PASS_PAGES_MAX // 16),
        (request(Command.CACHE, 1, 0, 65536), "localify", PASS_PAGES_MAX // 16),
        (request(Command.BLOCK_STATUS, 1, 0, 4096), "status", 1),
    ],
    ids=lambda each: "said" if isinstance(each, bytes) else str(each),
)
def test_a_pass_over_many_requests_is_bounded_in_pages(said: bytes, call: str, most: int) -> None:
    client = Client(is_structured=True)
    count = 3 * most
    counts = passes(client, said * count, call)
    assert sum(counts) == count
    assert max(counts) <= most


def test_a_pass_over_many_refused_requests_is_bounded() -> None:
    """Nonsense is quick to refuse, but a receive may bring nine thousand of it."""
    client = Client(is_structured=True)
    count = 3 * PASS_PAGES_MAX
    client.transmission.received.feed(request(4711, 1) * count)
    answers = 0
    while answers < count:
        before = client.counters.errors[Errno.EINVAL]
        client.transmission.serve()
        answered = client.counters.errors[Errno.EINVAL] - before
        assert 0 < answered <= PASS_PAGES_MAX
        answers += answered


@pytest.mark.parametrize(
    ("said", "call", "slices"),
    [
        (request(Command.READ, 1, 0, 32 << 20), "get", (8 << 10) // SLICE_PAGES),
        (request(Command.CACHE, 1, 0, 32 << 20), "localify", (8 << 10) // SLICE_PAGES),
        (request(Command.WRITE_ZEROES, 1, 0, 64 << 20, flags=2), "put_zeros", 16),
    ],
    ids=lambda each: "said" if isinstance(each, bytes) else str(each),
)
def test_a_long_request_is_one_slice_a_pass(said: bytes, call: str, slices: int) -> None:
    """And what was received behind it waits for its end."""
    client = Client()
    counts = passes(client, said + request(Command.READ, 2, 0, 4096), call)
    assert [count for count in counts if count][:slices] == [1] * slices


def test_a_long_write_is_put_as_it_arrives_and_answered_once() -> None:
    client = Client()
    payload = random.Random(0).randbytes(1 << 20)
    said = write(1, 4090, payload) + request(Command.READ, 2, 4090, len(payload))
    client.say(said[: 600 * 1024])
    assert client.take() == {}
    assert client.pager.pages
    assert client.transmission.in_flight_count == 1
    client.say(said[600 * 1024 :])
    assert client.take(c2=len(payload)) == {1: Errno.NONE, 2: payload}


def test_a_long_write_that_finds_no_room_in_part_is_refused_as_a_whole() -> None:
    client = Client()
    said = write(1, 0, bytes(1 << 20))
    client.say(said[: 600 * 1024])
    client.pager.is_refusing = True
    client.say(said[600 * 1024 :] + request(Command.FLUSH, 2))
    assert client.take() == {1: Errno.ENOSPC, 2: Errno.NONE}


def test_a_short_write_that_is_not_whole_changes_nothing() -> None:
    client = Client()
    client.say(write(1, 0, bytes(128 * 1024))[:-1])
    assert not client.pager.calls


@pytest.mark.slow
def test_a_long_write_whose_parts_wait_is_answered_when_all_are_stored() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(write(1, 0, bytes(PAYLOAD_BYTES_MAX)))
    assert client.transmission.is_full
    assert client.take() == {}
    client.pager.release(random.Random(3))
    assert client.take() == {1: Errno.NONE}
    assert not client.transmission.is_full


def test_a_connection_closed_in_a_long_request_is_forgotten() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.transmission.received.feed(request(Command.READ, 1, 0, 32 << 20))
    client.transmission.serve()
    client.transmission.close()
    client.pager.release()
    assert client.wakes_count == 0
    assert client.counters.in_flight_count == 0


@pytest.mark.slow
def test_long_structured_reads_stop_at_the_limit_of_replies() -> None:
    """The pages of a read that nobody takes are not all in memory."""
    client = Client(is_structured=True)
    client.pager.pages = {
        (EXPORT.pool, EXPORT.object_id, index): PAGE for index in range(EXPORT.size // 4096)
    }
    client.say(request(Command.READ, 1, 0, 32 << 20))
    slice_bytes = SLICE_PAGES * PAGE_BYTES
    assert client.transmission.replies.queued_bytes >= REPLY_BYTES_MAX
    assert client.transmission.replies.queued_bytes < REPLY_BYTES_MAX + 2 * slice_bytes
    data = b""
    while client.transmission.in_flight_count or client.transmission.replies.queued_bytes:
        data += b"".join(client.transmission.replies.pieces)
        client.transmission.replies.on_sent(client.transmission.replies.queued_bytes)
        client.serve_on()
    ((_, answer),) = parse_structured(data).items()
    assert isinstance(answer, Structured)
    assert answer.is_done
    assert answer.content == PAGE * (8 << 10)


# READs that come together.


def read_page(cookie: int, index: int) -> bytes:
    return request(Command.READ, cookie, index * PAGE_BYTES, PAGE_BYTES)


def with_pages(*, is_structured: bool = False) -> Client:
    """Return a client whose disk has pages 0 to 7, each of its own, and holes."""
    client = Client(is_structured=is_structured)
    for index in range(8):
        client.say(write(100 + index, index * PAGE_BYTES, bytes([index + 1]) * PAGE_BYTES))
    client.transmission.replies.clear()
    client.pager.calls.clear()
    return client


@pytest.mark.parametrize("is_structured", [False, True])
def test_reads_of_a_page_that_come_together_are_one_call(is_structured: bool) -> None:
    client = with_pages(is_structured=is_structured)
    told = {1: 3, 2: 0, 3: 20, 4: 3, 5: 7}
    client.say(b"".join(read_page(cookie, index) for cookie, index in told.items()))
    assert client.pager.calls["get_each"] == 1
    replies = client.transmission.replies
    data = b"".join(replies.pieces)
    assert len(data) == replies.queued_bytes
    expected = {
        cookie: bytes([index + 1 if index < 8 else 0]) * PAGE_BYTES
        for cookie, index in told.items()
    }
    if is_structured:
        found = parse_structured(data)
        assert list(found) == list(told), "in their order"
        assert {cookie: each.content for cookie, each in found.items()} == expected  # type: ignore[union-attr]  # none is an error
    else:
        assert parse_replies(data, dict.fromkeys(told, PAGE_BYTES)) == expected
    assert client.counters.requests_total()["READ"] == len(told)


def test_of_reads_that_come_together_one_whose_page_is_lost_fails_alone() -> None:
    client = with_pages()
    client.pager.lost = {2}
    client.say(b"".join(read_page(1 + index, index) for index in range(5)))
    assert client.pager.calls["get_each"] == 1
    answers = client.take(c1=4096, c2=4096, c3=4096, c4=4096, c5=4096)
    assert answers.pop(3) == Errno.EIO
    assert answers == {1 + index: bytes([index + 1]) * PAGE_BYTES for index in (0, 1, 3, 4)}


@pytest.mark.parametrize("is_structured", [False, True])
def test_reads_that_come_together_and_wait_are_answered_each_as_its_page_comes(
    is_structured: bool,
) -> None:
    client = with_pages(is_structured=is_structured)
    client.pager.is_delaying = True
    asked = {1: 3, 2: 0, 3: 20, 4: 5, 5: 7}
    client.say(b"".join(read_page(cookie, index) for cookie, index in asked.items()))
    assert client.pager.calls["get_each"] == 1
    assert client.transmission.in_flight_count == client.counters.in_flight_count == 5
    assert client.transmission.in_flight_bytes == 5 * PAGE_BYTES
    assert client.transmission.replies.pieces == []
    client.pager.lost = {5}
    client.pager.release(random.Random(2))
    assert client.wakes_count == 5
    assert client.transmission.in_flight_bytes == client.counters.in_flight_count == 0
    assert client.counters.errors[Errno.EIO] == 1
    expected = {
        cookie: bytes([index + 1 if index < 8 else 0]) * PAGE_BYTES
        for cookie, index in asked.items()
        if index != 5
    }
    data = b"".join(client.transmission.replies.pieces)
    assert len(data) == client.transmission.replies.queued_bytes
    if is_structured:
        found = {cookie: each for cookie, each in parse_structured(data).items() if cookie != 4}
        assert {cookie: each.content for cookie, each in found.items()} == expected  # type: ignore[union-attr]  # none is an error
    else:
        answers = parse_replies(data, dict.fromkeys(asked, PAGE_BYTES))
        assert answers.pop(4) is Errno.EIO
        assert answers == expected
    assert answered(client)["read_peer"] == 5
    assert client.counters.requests_total()["READ"] == 5


def test_reads_that_come_together_are_no_more_than_may_be_in_flight() -> None:
    client = Client()
    client.pager.is_delaying = True
    count = REQUESTS_IN_FLIGHT_MAX + 8
    client.say(b"".join(read_page(index, index) for index in range(8)))
    client.say(b"".join(read_page(index, index) for index in range(8, count)))
    assert client.transmission.in_flight_count == REQUESTS_IN_FLIGHT_MAX
    assert client.transmission.is_full
    assert client.transmission.has_unserved
    client.pager.release()
    client.take(**{f"c{cookie}": 4096 for cookie in range(count)})
    client.serve_on()
    assert client.transmission.in_flight_count == 8


@pytest.mark.parametrize(
    "second",
    [
        request(Command.READ, 2, 0, 8192),
        request(Command.READ, 2, 1, 4096),
        request(Command.READ, 2, EXPORT.size, 4096),
        request(Command.READ, 2, 0, 4096, flags=CommandFlag.FUA),
        write(2, 0, PAGE),
        read_page(2, 0)[:27],
    ],
)
def test_a_read_that_no_other_follows_is_served_as_ever(second: bytes) -> None:
    client = with_pages()
    client.say(read_page(1, 4) + second)
    assert client.pager.calls["get_each"] == 0
    replies = b"".join(client.transmission.replies.pieces)
    assert replies[16:][:PAGE_BYTES] == bytes([5]) * PAGE_BYTES


def test_reads_see_the_writes_that_came_before_them() -> None:
    client = with_pages()
    client.say(write(1, 0, PAGE) + read_page(2, 0) + read_page(3, 1) + write(4, PAGE_BYTES, PAGE))
    client.say(read_page(5, 1) + read_page(6, 0))
    answers = client.take(c2=4096, c3=4096, c5=4096, c6=4096)
    assert answers[3] == bytes([2]) * PAGE_BYTES
    assert [answers[each] for each in (2, 5, 6)] == [PAGE] * 3


def test_writes_of_a_page_that_come_together_are_one_call_and_take_effect_in_their_order() -> None:
    client = Client()
    told = [(1, 4, b"a"), (2, 0, b"b"), (3, 4, b"c"), (4, 9, b"d")]
    client.say(
        b"".join(
            write(cookie, index * PAGE_BYTES, data * PAGE_BYTES) for cookie, index, data in told
        )
        + read_page(5, 4)
    )
    assert client.pager.calls["put_each"] == 1
    answers = client.take(c5=4096)
    assert answers == {1: 0, 2: 0, 3: 0, 4: 0, 5: b"c" * PAGE_BYTES}
    assert list(answers) == [1, 2, 3, 4, 5]
    assert client.counters.requests_total()["WRITE"] == 4


def test_writes_without_room_are_refused_one_by_one() -> None:
    client = Client()
    client.pager.is_refusing = True
    client.say(write(1, 0, PAGE) + write(2, PAGE_BYTES, PAGE))
    assert client.take() == {1: Errno.ENOSPC, 2: Errno.ENOSPC}
    assert client.counters.requests_total()["WRITE"] == 2


def test_writes_that_come_together_and_wait_are_answered_when_they_are_stored() -> None:
    client = Client()
    client.pager.is_delaying = True
    client.say(write(1, 0, PAGE) + write(2, PAGE_BYTES, PAGE))
    assert client.take() == {}
    client.pager.release()
    assert client.take() == {1: Errno.NONE, 2: Errno.NONE}


def test_a_read_only_export_takes_no_writes_that_come_together() -> None:
    pager, counters = FakePager(), Counters()
    session = Session(export=replace(EXPORT, is_read_only=True))
    transmission = Transmission(session, pager, counters, lambda: None, pool=POISONED)
    transmission.received.feed(write(1, 0, PAGE) + write(2, PAGE_BYTES, PAGE))
    transmission.serve()
    found = parse_replies(b"".join(transmission.replies.pieces), {})
    assert set(found.values()) == {Errno.EPERM}
    assert not pager.pages
