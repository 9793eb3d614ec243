"""The first write to a blank export waits for the state file; a lost export is closed."""

import struct

import pytest

from net.errors import RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Errno, Option, OptionReply
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from tests.fakes.fake_pager import FakePager
from tests.fakes.nbd_words import Handshake, parse_replies, request, write
from tests.fakes.state_disk import StateDisk

PAGE = b"p" * 4096
POOL = PoolId(1)


class Client:
    """One connection to the export of a node whose state file a test writes."""

    def __init__(self, disk: StateDisk, pager: FakePager | None = None) -> None:
        self.disk = disk
        self.pager = FakePager() if pager is None else pager
        export = Export(
            name="disk", size=64 << 20, pool=POOL, object_id=b"", mark=disk.marks.of("disk")
        )
        self.wakes_count = 0
        self.transmission = Transmission(Session(export=export), self.pager, Counters(), self._wake)

    def _wake(self) -> None:
        self.wakes_count += 1

    def say(self, data: bytes) -> None:
        while data:
            count = min(len(data), len(self.transmission.received.space()))
            self.transmission.received.feed(data[:count])
            data = data[count:]
            self.serve_on()

    def serve_on(self) -> None:
        """Serve as the connection does: until nothing is left, or the transmission is full."""
        self.transmission.serve()
        while self.transmission.has_unserved and not self.transmission.is_full:
            self.transmission.serve()

    def take(self, **reads: int) -> dict[int, Errno | bytes]:
        replies = self.transmission.replies
        data = b"".join(replies.pieces)
        replies.on_sent(len(data))
        return parse_replies(data, {int(name[1:]): count for name, count in reads.items()})


@pytest.fixture
def disk() -> StateDisk:
    made = StateDisk()
    made.write()
    return made


@pytest.mark.parametrize("flags", [0, CommandFlag.FUA])
@pytest.mark.parametrize(("offset", "count"), [(0, 4096), (100, 7)])
def test_a_first_write_waits_with_all_behind_it(
    disk: StateDisk, flags: int, offset: int, count: int
) -> None:
    client = Client(disk)
    client.say(
        write(1, offset, PAGE[:count], flags=flags) + request(Command.READ, 2, offset, count)
    )
    assert client.take() == {}
    assert client.pager.calls["put"] == client.pager.calls["patch"] == 0
    assert client.transmission.is_full
    assert client.transmission.in_flight_count == 1
    client.transmission.serve()  # to no avail
    disk.write()
    assert client.wakes_count == 1
    client.serve_on()
    assert client.take(c2=count) == {1: Errno.NONE, 2: PAGE[:count]}
    client.say(write(3, 0, PAGE))
    assert client.take() == {3: Errno.NONE}


def test_a_long_first_write_waits_before_its_payload_is_taken(disk: StateDisk) -> None:
    client = Client(disk)
    data = PAGE * 1024
    said = write(1, 0, data)
    client.say(said[:5000])
    assert client.transmission.is_full
    disk.write()
    client.serve_on()
    client.say(said[5000:])
    assert client.take() == {1: Errno.NONE}
    assert client.pager.pages[POOL, b"", 1023] == PAGE


def test_a_read_a_trim_and_zeros_of_a_blank_export_wait_for_nothing(disk: StateDisk) -> None:
    """All of it reads as zeros, before and after, here and after a restart."""
    client = Client(disk)
    client.say(
        request(Command.READ, 1, 0, 4096)
        + request(Command.TRIM, 2, 0, 8192)
        + request(Command.WRITE_ZEROES, 3, 100, 8192)
        + request(Command.WRITE_ZEROES, 4, 0, 8192, flags=CommandFlag.NO_HOLE)
        + request(Command.FLUSH, 5)
    )
    assert client.take(c1=4096) == {1: bytes(4096), 2: 0, 3: 0, 4: 0, 5: 0}
    assert all(not any(page) for page in client.pager.pages.values())
    assert not disk.marks.of("disk").is_set


def test_a_first_write_is_an_error_while_the_file_cant_be_written(disk: StateDisk) -> None:
    client = Client(disk)
    client.say(write(1, 0, PAGE) + request(Command.READ, 2, 0, 4096) + write(3, 0, PAGE))
    disk.write(problem="no space left on device")
    client.serve_on()
    assert client.take(c2=4096) == {1: Errno.EIO, 2: bytes(4096), 3: Errno.EIO}
    assert not client.pager.pages
    disk.pass_retry_time()
    disk.write()
    client.say(write(4, 0, PAGE))
    assert client.take() == {4: Errno.NONE}


def test_a_refused_long_write_skips_its_payload(disk: StateDisk) -> None:
    client = Client(disk)
    said = write(1, 0, PAGE * 1024) + request(Command.READ, 2, 0, 4096)
    client.say(said[:5000])
    disk.write(problem="no space left on device")
    client.serve_on()
    client.say(said[5000:])
    assert client.take(c2=4096) == {1: Errno.EIO, 2: bytes(4096)}


def test_two_clients_wait_for_one_write_of_the_file(disk: StateDisk) -> None:
    pager = FakePager()
    clients = [Client(disk, pager), Client(disk, pager)]
    for number, client in enumerate(clients):
        client.say(write(number, 4096 * number, PAGE))
    disk.write()
    for number, client in enumerate(clients):
        client.serve_on()
        assert client.take() == {number: Errno.NONE}
    assert disk.marks.statistics().writes_total == 2  # the one of the start, and this one


def test_a_connection_that_ends_while_it_waits_is_forgotten(disk: StateDisk) -> None:
    client = Client(disk)
    client.say(write(1, 0, PAGE))
    client.transmission.close()
    disk.write()
    assert client.wakes_count == 0
    assert not client.pager.pages


def lost() -> Handshake:
    """Return a handshake with a node that has lost its only export, and waits for options."""
    disk = StateDisk()
    disk.marks.of("disk").wait_set(lambda _: None)
    disk.write()
    marks = disk.start()
    mark = marks.of("disk")
    handshake = Handshake([Export(name="disk", size=1 << 20, pool=POOL, object_id=b"", mark=mark)])
    handshake.hear(struct.pack(">I", 3))
    return handshake


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


@pytest.mark.parametrize("number", [Option.GO, Option.INFO])
def test_a_lost_export_refuses_with_a_reason_and_what_to_type(number: Option) -> None:
    handshake = lost()
    answer = handshake.hear(option(number, struct.pack(">I", 4) + b"disk\0\0"))
    _, to, kind, count = struct.unpack_from(">QIII", answer)
    assert (to, kind) == (number, OptionReply.ERR_POLICY)
    reason = answer[20:].decode()
    assert len(answer) == 20 + count
    assert "the pages of export disk ended with the last run of ramsterd" in reason
    assert "`ramsterctl export reset disk`" in reason


def test_a_client_of_the_old_handshake_is_cut_off_from_a_lost_export() -> None:
    with pytest.raises(RemoteProtocolError, match="ended with the last run of ramsterd"):
        lost().hear(option(Option.EXPORT_NAME, b"disk"))


def test_a_lost_export_is_listed() -> None:
    answer = lost().hear(option(Option.LIST))
    assert b"disk" in answer
