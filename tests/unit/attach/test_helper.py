"""The helper's shell, step by step: a fake kernel over netlink, real sockets in the place of a server, a given clock."""

import errno
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from net.backoff import Backoff
from ramsterd.attach.attachment import Attachment, Level, Plan, State
from ramsterd.attach.devices import Devices
from ramsterd.attach.dialing import Refused, Unreachable
from ramsterd.attach.helper import Console, Helper, Timeouts
from ramsterd.attach.kernel import NbdKernel
from ramsterd.attach.nbd_family import Attribute, Command
from ramsterd.client.nbd_handshake import Offer
from tests.fakes.nbd_kernel import FakeKernel

INDEX = 1
OFFER = Offer(name="swap0", size=1 << 20, flags=1)


@dataclass
class FakeServer:
    """Gives connections, or raises what `refusal` is."""

    offer: Offer = OFFER
    refusal: Exception | None = None
    ends: list[socket.socket] = field(default_factory=list)

    def dial(self, export: str) -> tuple[socket.socket, Offer]:
        assert export == "swap0"
        if self.refusal is not None:
            raise self.refusal
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        return ours, self.offer

    def end(self) -> None:
        """End the last connection, as a server that dies."""
        self.ends[-1].close()

    def close(self) -> None:
        for each in self.ends:
            each.close()


@dataclass
class World:
    """A helper and all around it."""

    folder: Path
    kernel: FakeKernel = field(default_factory=FakeKernel)
    server: FakeServer = field(default_factory=FakeServer)
    now: float = 0.0
    lines: list[tuple[Level, str]] = field(default_factory=list)
    request_seconds: int = 0
    _open: list[object] = field(default_factory=list)

    def helper(self, size_of_device: int | None = None) -> Helper:
        """Return a new helper, as a new process would have it."""
        nbd = NbdKernel(self.kernel)
        plan = Plan(device="nbd1", export="swap0", server="/s", dead_connection_seconds=300)
        attachment = Attachment(plan, Backoff(random.Random(1)), size_of_device)
        helper = Helper(
            attachment,
            nbd,
            Devices(sys=self.folder / "sys", proc=self.folder / "proc"),
            self.server,
            lambda level, text: self.lines.append((level, text)),
            index=INDEX,
            identifier="ramster swap0 of /s",
            timeouts=Timeouts(dead_connection=300, request=self.request_seconds, resend=2.5),
            environ={"NOTIFY_SOCKET": str(self.folder / "notify")},
            clock=lambda: self.now,
        )
        self._open += [helper, nbd]
        return helper

    def close(self) -> None:
        for each in self._open:
            each.close() if isinstance(each, Helper) else each.__exit__()  # type: ignore[attr-defined]
        self.server.close()
        self.kernel.close()

    @property
    def said(self) -> str:
        return self.lines[-1][1]

    @property
    def device(self) -> Path:
        return self.folder / "sys" / "block" / "nbd1"

    def is_served(self) -> bool:
        """Return whether what the kernel sends arrives at the server's newest connection."""
        self.kernel.devices[INDEX].sock.send(b"request")
        return self.server.ends[-1].recv(99) == b"request"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    (world.device / "queue").mkdir(parents=True)
    (world.device / "holders").mkdir()
    (tmp_path / "proc" / "1").mkdir(parents=True)
    yield world
    world.close()


@pytest.fixture
def manager(world: World) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(world.folder / "notify"))
        receiver.setblocking(False)
        yield receiver


def test_the_kernel_gets_the_connection_and_all_that_it_needs(
    world: World, manager: socket.socket
) -> None:
    helper = world.helper()
    helper.begin()
    device = world.kernel.devices[INDEX]
    assert device.attribute(Attribute.SIZE_BYTES) == OFFER.size
    assert device.attribute(Attribute.BLOCK_SIZE_BYTES) == 4096
    assert device.attribute(Attribute.DEAD_CONN_TIMEOUT) == 300
    assert device.attribute(Attribute.TIMEOUT) == 0
    assert world.is_served()
    assert (world.device / "queue" / "io_timeout").read_text() == "2500\n"
    assert manager.recv(200).startswith(b"STATUS=nbd1: attached to export swap0")
    assert manager.recv(200) == b"READY=1"


def test_with_a_timer_for_requests_the_kernel_sends_again_by_itself(world: World) -> None:
    world.request_seconds = 30
    world.helper().begin()
    assert world.kernel.devices[INDEX].attribute(Attribute.TIMEOUT) == 30
    assert not (world.device / "queue" / "io_timeout").exists()


def test_a_connection_that_ends_is_replaced(world: World) -> None:
    helper = world.helper()
    helper.begin()
    world.server.end()
    world.kernel.notice_end(INDEX)
    world.now = 1
    helper.step()
    assert len(world.server.ends) == 2
    assert world.is_served()
    assert world.said == "nbd1: connected to /s again after 0.0 s"


def test_a_kernel_that_is_late_to_notice_gets_the_same_connection_again(world: World) -> None:
    """It takes no socket in the place of one that it believes alive, and does not say so."""
    helper = world.helper()
    helper.begin()
    world.server.end()
    helper.step()
    assert world.kernel.devices[INDEX].taken_total == 1
    world.kernel.notice_end(INDEX)
    helper.step()
    assert world.kernel.devices[INDEX].taken_total == 2
    assert len(world.server.ends) == 2
    assert world.is_served()


def test_news_that_never_come_are_made_up_for_by_the_next_offer(world: World) -> None:
    helper = world.helper()
    helper.begin()
    world.server.end()
    helper.step()
    world.kernel.notice_end(INDEX, is_told=False)
    world.now = 20
    helper.step()
    assert world.is_served()


def test_a_connection_that_the_kernel_gives_up_is_replaced(world: World) -> None:
    """A request without an answer for too long: the server's end is still open."""
    helper = world.helper()
    helper.begin()
    world.kernel.notice_end(INDEX)
    helper.step()
    assert len(world.server.ends) == 2
    assert world.is_served()


def test_a_server_that_is_away_is_dialled_until_it_is_back(world: World) -> None:
    helper = world.helper()
    helper.begin()
    world.server.end()
    world.kernel.notice_end(INDEX)
    world.server.refusal = Unreachable("Connection refused")
    helper.step()
    assert "Connection refused; requests wait for 300 s more" in world.said
    timer = world.kernel.devices[INDEX].attribute
    assert timer(Attribute.TIMEOUT) > 0, "what is in flight waits with the others"
    for _ in range(4):
        world.now += 11
        helper.step()
        assert world.kernel.devices[INDEX].is_dead
    world.server.refusal = None
    world.now += 11
    helper.step()
    assert world.is_served()
    assert world.said == "nbd1: connected to /s again after 55.0 s"
    assert timer(Attribute.TIMEOUT) == 0


def test_a_lost_export_is_never_handed_over_and_ends_the_helper_in_the_end(world: World) -> None:
    helper = world.helper()
    helper.begin()
    world.server.end()
    world.kernel.notice_end(INDEX)
    world.server.refusal = Refused("the pages of export swap0 ended with the last run of ramsterd")
    while helper.status is None:
        helper.step()
        world.now += 11
    assert helper.status == 1
    assert world.kernel.devices[INDEX].is_dead
    assert "the pages of export swap0 ended" in " ".join(text for _, text in world.lines)
    assert world.said.endswith("its requests fail with I/O errors")


def test_another_export_is_hung_up_on(world: World) -> None:
    helper = world.helper()
    helper.begin()
    world.server.end()
    world.kernel.notice_end(INDEX)
    world.server.offer = Offer(name="swap0", size=4096, flags=1)
    helper.step()
    assert "it had 1048576 bytes and has 4096" in world.said
    assert world.server.ends[-1].recv(1) == b"", "closed"
    assert world.kernel.devices[INDEX].is_dead


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Unreachable("No such file or directory"), "No such file or directory"),
        (Refused("no such export"), "no such export"),
    ],
)
def test_a_first_try_that_fails_attaches_nothing(
    world: World, refusal: Exception, words: str
) -> None:
    world.server.refusal = refusal
    helper = world.helper()
    assert helper.run() == 1
    assert world.said == f"nbd1: can't attach export swap0 of /s: {words}"
    assert world.kernel.devices == {}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "run as root"),
        (errno.EBUSY, "`ramsterctl nbd detach /dev/nbd1` first"),
        (errno.EINVAL, "the last lines of `dmesg` say why"),
        (errno.ENOMEM, "ENOMEM"),
    ],
)
def test_a_kernel_that_refuses_is_named_with_what_to_type(
    world: World, number: int, words: str
) -> None:
    world.kernel.errors[Command.CONNECT] = number
    helper = world.helper()
    assert helper.run() == 1
    assert words in world.said
    assert world.server.ends[-1].recv(1) == b"", "closed"


def test_a_stop_detaches(world: World, manager: socket.socket) -> None:
    helper = world.helper()
    helper.begin()
    helper.stop()
    helper.step()
    assert helper.status == 0
    assert world.kernel.devices == {}
    assert world.said == "nbd1: detached"
    assert b"STOPPING=1" in [manager.recv(200) for _ in range(5)]


def test_a_stop_under_swap_leaves_the_device_and_the_next_helper_takes_it_over(
    world: World,
) -> None:
    helper = world.helper()
    helper.begin()
    (world.folder / "proc" / "swaps").write_text("Filename\n/dev/nbd1 partition 1 0 -2\n")
    helper.stop()
    helper.step()
    helper.close()
    assert helper.status == 0
    assert "it is used by swap on /dev/nbd1" in world.said
    assert world.is_served(), "without a helper, too"

    second = world.helper(size_of_device=OFFER.size)
    second.begin()
    assert second.status is None
    assert world.kernel.devices[INDEX].taken_total == 1, "its own connection lives"
    for each in world.server.ends:
        each.close()
    world.kernel.notice_end(INDEX)
    second.step()
    assert world.is_served()
    assert world.kernel.devices[INDEX].taken_total == 2


def test_a_device_that_another_program_detaches_ends_the_helper(world: World) -> None:
    helper = world.helper()
    helper.begin()
    with NbdKernel(world.kernel) as other:
        other.disconnect(INDEX)
    helper.step()
    assert helper.status == 0
    assert world.said == "nbd1: another program detached it"
    assert world.kernel.devices == {}


def test_a_device_that_goes_without_a_sound_is_missed_in_time(world: World) -> None:
    helper = world.helper()
    helper.begin()
    device = world.kernel.devices.pop(INDEX)
    world.now = 20
    helper.step()
    assert helper.status == 0
    device.sock.close()


def test_a_kernel_that_does_not_answer_an_offer_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramsterd.attach.kernel.ANSWER_SECONDS_MAX", 0.01)
    helper = world.helper()
    helper.begin()
    world.kernel.is_silent = True
    world.now = 20
    helper.step()
    assert "the kernel is silent" in world.said
    assert helper.status is None
    world.kernel.is_silent = False


def test_a_timer_that_can_not_be_set_is_said(world: World) -> None:
    (world.device / "queue").rmdir()
    world.helper().begin()
    assert any("requests in flight are sent again after 30 s" in text for _, text in world.lines)


def test_the_watchdog_bounds_how_long_it_waits(world: World) -> None:
    helper = world.helper()
    assert helper._idle_seconds == 5.0
    limited = Helper(
        helper._attachment,
        helper._kernel,
        helper._devices,
        world.server,
        lambda *_: None,
        index=INDEX,
        identifier="",
        timeouts=Timeouts(dead_connection=1, request=0, resend=1),
        environ={"WATCHDOG_USEC": "3000000"},
    )
    assert limited._idle_seconds == 1.5
    limited.close()
    assert helper._attachment.state is State.ATTACHING


def test_a_line_is_one_line_and_has_its_level() -> None:
    reading, writing = os.pipe()
    Console(writing, {}).say(Level.WARNING, "two\nlines")
    status = os.fstat(writing)
    journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    Console(writing, journal).say(Level.ERROR, "no")
    os.close(writing)
    assert os.read(reading, 100) == b"warning: two\\nlines\n<3>no\n"
    os.close(reading)


def test_a_console_that_nobody_reads_holds_nothing_up() -> None:
    reading, writing = os.pipe()
    console = Console(writing, {})
    for _ in range(100):
        console.say(Level.INFO, "x" * 2000)
    os.close(reading)
    console.say(Level.INFO, "nobody is there")
    os.close(writing)
