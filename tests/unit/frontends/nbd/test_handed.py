"""NBD connections handed over: stopped anywhere, they go on as if they had never been stopped."""

import random
import struct
from dataclasses import replace

import pytest

from config.limits import PAGE_BYTES
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import NO_SPACE
from ramsterd.frontends.nbd.handed import Handed, handed_from, handshake_from, record_of
from ramsterd.frontends.nbd.negotiation import Negotiation
from ramsterd.frontends.nbd.payloads import PartOfRefused, PartOfWrite
from ramsterd.frontends.nbd.protocol import (
    OPTIONS_MAX,
    REFUSED_OPTION_BYTES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    Command,
    CommandFlag,
    Errno,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.handover.document import (
    UNSENT_BYTES_MAX,
    ConnectionRecord,
    DamagedRecord,
    Document,
    FrontEnd,
    decode,
    encode,
)
from ramsterd.statefile.content import Content, Record
from ramsterd.statefile.marks import Marks
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import parse_replies, request, write
from tests.fakes.poisoned_pool import POISONED

KIB = 1024
PAGES = 512
SIZE = PAGES * PAGE_BYTES
EXPORT = Export(name="disk", size=SIZE, pool=PoolId(1), object_id=b"d", is_replicated=True)
PLAIN = Session(export=EXPORT)
COOKIE = b"c" * 8


class Side:
    """One process: a connection over a pager that both processes share."""

    def __init__(self, pager: FakePager, session: Session = PLAIN) -> None:
        self.transmission = Transmission(
            session, pager.open_client(), Counters(), lambda: None, pool=POISONED
        )
        self.session = session
        self.sent = b""

    def feed(self, data: bytes) -> None:
        received = self.transmission.received
        while data:
            count = min(len(data), len(received.space()))
            received.feed(data[:count])
            data = data[count:]
            self.serve()

    def serve(self) -> None:
        self.transmission.serve()
        while self.transmission.has_unserved and not self.transmission.is_full:
            self.transmission.serve()
        if not self.transmission.has_unserved:
            self.transmission.received.on_idle()

    def send(self) -> None:
        self.sent += self.transmission.replies.take()

    def hand_over(self) -> ConnectionRecord:
        """Come to an edge, and leave."""
        transmission = self.transmission
        while transmission.has_begun:
            transmission.go_on()
        assert transmission.is_at_edge
        unread, unsent = transmission.received.unserved(), transmission.replies.take()
        part = transmission.what_is_left()
        record = record_of(Handed(self.session, part, unread, unsent))
        transmission.close()
        return record


def is_at_edge(side: Side) -> bool:
    return side.transmission.is_at_edge


def take_up(record: ConnectionRecord, pager: FakePager) -> Side:
    """Another process, which knows the record and the pages."""
    document = Document(
        memory_id=b"m", restart_id="", paused_at_nanoseconds=0, connections=(record,)
    )
    (found,) = decode(encode(document)).connections
    assert found is not None
    handed = handed_from(found, [EXPORT])
    side = Side(pager, handed.session)
    side.transmission.take_up(handed.part, handed.unread, handed.unsent)
    side.serve()
    return side


def conversation(rng: random.Random) -> bytes:
    """Requests of all kinds, many of them long."""
    said = b""
    for cookie in range(1, rng.randint(2, 12)):
        length = rng.choice([1, 512, 4096, 8192, 40_000, 300 * KIB, 700 * KIB])
        offset = rng.randrange(0, SIZE - length, rng.choice([1, 512, 4096]))
        flags = rng.choice([0, 0, CommandFlag.FUA])
        match rng.randrange(6):
            case 0:
                said += request(Command.READ, cookie, offset, length)
            case 1:
                said += request(Command.TRIM, cookie, offset, length, flags=flags)
            case 2:
                said += request(Command.WRITE_ZEROES, cookie, offset, length, flags=flags)
            case 3:
                # Beyond the end: refused when its payload has come.
                said += write(cookie, SIZE - 1, rng.randbytes(length + 1))
            case _:
                said += write(cookie, offset, rng.randbytes(length), flags=flags)
    return said


def cut_points(said: bytes, rng: random.Random) -> list[int]:
    return sorted(rng.randrange(len(said) + 1) for _ in range(rng.randint(1, 4)))


@pytest.mark.parametrize("is_structured", [False, True])
def test_stopped_anywhere_it_goes_on_as_if_it_had_never_been_stopped(
    seed: int, is_structured: bool
) -> None:
    rng = random.Random(seed)
    session = Session(export=EXPORT, is_structured=is_structured, has_allocation=is_structured)
    for _ in range(20):
        said = conversation(rng)
        alone = FakePager()
        whole = Side(alone, session)
        whole.feed(said)
        whole.send()
        pager = FakePager()
        side, sent, start = Side(pager, session), b"", 0
        for end in cut_points(said, rng):
            side.feed(said[start:end])
            if rng.random() < 0.5 or side.transmission.replies.queued_bytes > UNSENT_BYTES_MAX:
                side.send()
            sent += side.sent
            side, start = take_up(side.hand_over(), pager), end
        side.feed(said[start:])
        side.send()
        assert sent + side.sent == whole.sent
        assert pager.pages == alone.pages


def test_what_waits_for_the_pager_is_no_edge_until_it_is_answered() -> None:
    pager = FakePager()
    pager.is_delaying = True
    side = Side(pager)
    side.feed(write(1, 0, bytes(4096)) + request(Command.READ, 2, 0, 4096))
    assert not is_at_edge(side)
    pager.release()
    assert is_at_edge(side)
    after = take_up(side.hand_over(), pager)
    after.send()
    assert parse_replies(after.sent, {2: 4096}) == {1: Errno.NONE, 2: bytes(4096)}


def test_a_part_of_a_long_write_that_waits_is_no_edge() -> None:
    pager = FakePager()
    pager.is_delaying = True
    side = Side(pager)
    data = random.Random(1).randbytes(400 * KIB)
    said = write(1, 4096, data, flags=CommandFlag.FUA)
    side.feed(said[: 300 * KIB])
    assert not is_at_edge(side)
    pager.release()
    assert is_at_edge(side)
    after = take_up(side.hand_over(), pager)
    pager.is_delaying, pager.is_replicating = False, True
    after.feed(said[300 * KIB :])
    after.send()
    assert not after.sent, "FUA: not before the pages are at peers"
    ((run, _),) = pager.replicating
    assert run == range(1, 101), "all of it, also what came to the earlier process"
    pager.on_replicated(is_success=True)
    after.send()
    assert parse_replies(after.sent, {}) == {1: Errno.NONE}
    assert b"".join(pager.pages[PoolId(1), b"d", index] for index in range(1, 101)) == data


def test_a_part_that_failed_fails_the_write_in_the_next_process() -> None:
    pager = FakePager()
    pager.is_refusing = True
    side = Side(pager)
    said = write(1, 0, bytes(400 * KIB)) + request(Command.FLUSH, 2)
    side.feed(said[: 300 * KIB])
    record = side.hand_over()
    pager.is_refusing = False
    after = take_up(record, pager)
    after.feed(said[300 * KIB :])
    after.send()
    assert parse_replies(after.sent, {}) == {1: Errno.ENOSPC, 2: Errno.NONE}


def test_a_client_that_said_goodbye_is_at_no_edge() -> None:
    side = Side(FakePager())
    side.feed(request(Command.DISC, 1))
    assert not is_at_edge(side)


class TestFirstWrite:
    """To a blank export: it waits for the state file, in the receive buffer."""

    def test_it_travels_unread_and_is_served_once(self) -> None:
        marks = Marks(Content(0, {}), new_generation=lambda: "a" * 32, started_at=1)
        blank = replace(EXPORT, mark=marks.of("disk"))
        pager = FakePager()
        side = Side(pager, Session(export=blank))
        said = write(1, 0, b"w" * 4096)
        side.transmission.received.feed(said)
        side.transmission.serve()
        assert side.transmission.is_waiting
        record = side.hand_over()
        assert record.unread == said
        assert not pager.calls
        after = take_up(record, pager)
        after.send()
        assert parse_replies(after.sent, {}) == {1: Errno.NONE}


class TestRecords:
    """What leads to no session."""

    def record(self, **changes: object) -> ConnectionRecord:
        part = PartOfWrite(
            flags=0, cookie=COOKIE, offset=0, length=8192, rest_bytes=4096, failure=NO_SPACE
        )
        record = record_of(Handed(PLAIN, part, b"unread", b"unsent"))
        return replace(record, **changes)  # type: ignore[arg-type]

    def test_a_record_leads_to_what_it_was_made_of(self) -> None:
        handed = handed_from(self.record(), [EXPORT])
        assert handed.session == PLAIN
        assert (handed.unread, handed.unsent) == (b"unread", b"unsent")
        assert isinstance(handed.part, PartOfWrite)
        assert handed.part.failure == NO_SPACE
        refused = PartOfRefused(cookie=COOKIE, rest_bytes=3, failure=NO_SPACE)
        record = record_of(Handed(PLAIN, refused, b"", b""))
        assert handed_from(record, [EXPORT]).part == refused

    def test_an_export_that_is_not_what_the_client_was_told_is_none(self) -> None:
        record = self.record()
        others = {
            "is not in ramsterd.toml any more": replace(EXPORT, name="other"),
            "has changed": replace(EXPORT, size=SIZE - 4096),
            "has changed in": replace(EXPORT, is_read_only=True),
        }
        for text, export in others.items():
            with pytest.raises(DamagedRecord, match=text):
                handed_from(record, [export])
        with pytest.raises(DamagedRecord):
            handed_from(record, [])

    def test_an_export_that_has_grown_goes_on_with_the_size_that_the_client_was_told(self) -> None:
        handed = handed_from(self.record(), [replace(EXPORT, size=SIZE * 2)])
        assert handed.session == PLAIN
        assert handed.session.export.size == SIZE

    def test_an_export_that_is_lost_or_was_blanked_is_none(self) -> None:
        used = Content(0, {"disk": Record("b" * 32)})
        marks = Marks(used, new_generation=lambda: "a" * 32, started_at=1)
        export = replace(EXPORT, mark=marks.of("disk"))
        with pytest.raises(DamagedRecord, match="ended with the last run"):
            handed_from(self.record(), [export])
        marks.reset("disk")
        with pytest.raises(DamagedRecord, match="export disk is blank now"):
            handed_from(self.record(), [export])

    def test_too_many_unread_bytes_are_none(self) -> None:
        with pytest.raises(DamagedRecord, match="unread"):
            handed_from(self.record(unread=bytes(RECEIVE_BYTES + 1)), [EXPORT])

    @pytest.mark.parametrize(
        "part",
        [
            [3, COOKIE, 1, [], 0, 0, 4096],  # an unknown kind
            [1, b"short", 1, [], 0, 0, 4096],
            [1, COOKIE, 0, [], 0, 0, 4096],  # nothing is missing
            [1, COOKIE, 4097, [], 0, 0, 4096],
            [1, COOKIE, 1, [], 0, -4096, 4096],
            [1, COOKIE, 1, [], 0, SIZE, 4096],
            [1, COOKIE, 1, [], 0x80, 0, 4096],
            [1, COOKIE, 1, [], 0, 0, -1],
            [1, COOKIE, 1, [], 0, 0],
            [1, COOKIE, 1, [9999, "?"], 0, 0, 4096],
            [1, COOKIE, 1, [0, "?"], 0, 0, 4096],
            [2, COOKIE, 1, []],  # refused, and nobody knows why
            [2, COOKIE, REFUSED_PAYLOAD_BYTES_MAX + 1, [28, "no"]],
            [2, COOKIE, 0, [28, "no"]],
            [2],
        ],
    )
    def test_a_payload_that_means_nothing_is_none(self, part: list[object]) -> None:
        state = [*self.record().state[:-1], part]
        with pytest.raises(DamagedRecord):
            handed_from(self.record(state=state), [EXPORT])

    def test_a_context_without_structured_replies_is_none(self) -> None:
        state = self.record().state
        state[4] = True
        with pytest.raises(DamagedRecord, match="context"):
            handed_from(self.record(state=state), [EXPORT])

    def test_a_state_that_is_another_is_none(self) -> None:
        for state in ([], ["disk"], [1, 2, 3, 4, 5, 6, 7]):
            with pytest.raises(DamagedRecord):
                handed_from(self.record(state=state), [EXPORT])


class TestHandshakeRecords:
    """What leads to no handshake."""

    @pytest.mark.parametrize(
        "state",
        [
            [],
            [[4], False, [], 0, []],  # flags that no client may set
            [[3], False, ["disk"], 0, []],  # a context without structured replies
            [[3], True, [1], 0, []],
            [[3], False, [], OPTIONS_MAX + 1, []],
            [[3], False, [], -1, []],
            [[3], False, [], 1, [7]],
            [[3], False, [], 1, [-1, 9]],
            [[3], False, [], 1, [7, 0]],  # nothing of it is missing
            [[3], False, [], 1, [7, REFUSED_OPTION_BYTES_MAX + 1]],
        ],
    )
    def test_a_state_that_means_nothing_is_none(self, state: list[object]) -> None:
        with pytest.raises(DamagedRecord):
            handshake_from(ConnectionRecord(front_end=FrontEnd.NBD_HANDSHAKE, state=state))

    def test_a_context_of_an_export_that_is_gone_is_selected_for_none(self) -> None:
        record = ConnectionRecord(
            front_end=FrontEnd.NBD_HANDSHAKE, state=[[3], True, ["gone"], 2, []]
        )
        negotiation = Negotiation([EXPORT])
        negotiation.take_up(handshake_from(record).position)
        go = struct.pack(">8sIII4sH", b"IHAVEOPT", 7, 10, 4, b"disk", 0)
        assert list(negotiation.receive_data(go))
        assert negotiation.session == Session(export=EXPORT, is_structured=True)
