"""Orders to the kernel and its news, against a fake one that speaks netlink."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from ramsterd.attach.kernel import (
    KernelRefused,
    KernelSilent,
    NbdKernel,
    NoNbdModule,
)
from ramsterd.attach.nbd_family import Attribute, Command, DeviceStatus, Disk
from ramsterd.attach.netlink import GenericMessage, Message, u32
from tests.fakes.nbd_kernel import FAMILY, FakeKernel

DISK = Disk(
    size=1 << 20,
    block_bytes=4096,
    server_flags=1,
    dead_connection_seconds=300,
    request_seconds=0,
    identifier="ramster swap0",
)


@pytest.fixture
def fake() -> Iterator[FakeKernel]:
    kernel = FakeKernel()
    yield kernel
    kernel.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_device_is_made_of_a_connection_and_ended(
    fake: FakeKernel, pair: tuple[socket.socket, socket.socket]
) -> None:
    with NbdKernel(fake) as kernel:
        assert kernel.devices() == [DeviceStatus(0, False), DeviceStatus(1, False)]
        kernel.connect(1, pair[0].fileno(), DISK)
        assert kernel.is_configured(1)
        assert not kernel.is_configured(0)
        device = fake.devices[1]
        assert device.attribute(Attribute.SIZE_BYTES) == 1 << 20
        pair[1].send(b"hello")
        assert device.sock.recv(9) == b"hello"
        kernel.disconnect(1)
        assert not kernel.is_configured(1)


def test_a_refusal_has_its_errno(
    fake: FakeKernel, pair: tuple[socket.socket, socket.socket]
) -> None:
    with NbdKernel(fake) as kernel:
        kernel.connect(0, pair[0].fileno(), DISK)
        with pytest.raises(KernelRefused, match="busy") as caught:
            kernel.connect(0, pair[0].fileno(), DISK)
        assert caught.value.errno == errno.EBUSY
        with pytest.raises(KernelRefused) as caught:
            kernel.reconfigure(1, pair[0].fileno(), DISK)
        assert caught.value.errno == errno.EINVAL


def test_a_kernel_without_the_module_is_named() -> None:
    fake = FakeKernel(has_module=False)
    with pytest.raises(NoNbdModule):
        NbdKernel(fake)
    fake.close()


def test_a_silent_kernel_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramsterd.attach.kernel.ANSWER_SECONDS_MAX", 0.01)
    fake = FakeKernel(is_silent=True)
    with pytest.raises(KernelSilent, match="no answer"):
        NbdKernel(fake)
    fake.close()


def test_a_new_socket_is_taken_in_the_place_of_a_dead_one_alone(
    fake: FakeKernel, pair: tuple[socket.socket, socket.socket]
) -> None:
    with NbdKernel(fake) as kernel:
        kernel.connect(0, pair[0].fileno(), DISK)
        kernel.reconfigure(0, pair[1].fileno(), DISK)
        assert fake.devices[0].taken_total == 1
        fake.notice_end(0)
        kernel.reconfigure(0, pair[1].fileno(), DISK)
        assert fake.devices[0].taken_total == 2


def test_news_name_the_devices_whose_connections_died(
    fake: FakeKernel, pair: tuple[socket.socket, socket.socket]
) -> None:
    with NbdKernel(fake) as kernel:
        assert kernel.take_news() == set()
        kernel.connect(0, pair[0].fileno(), DISK)
        fake.notice_end(0)
        fake.tell(GenericMessage(command=Command.LINK_DEAD, attributes=u32(1, 7)).encode())
        fake.tell(GenericMessage(command=Command.CONNECT, attributes=u32(1, 5)).encode())
        assert kernel.take_news() == {0, 7}


def test_news_that_can_not_be_read_may_be_any(fake: FakeKernel) -> None:
    with NbdKernel(fake) as kernel:
        fake.tell(b"?")
        assert kernel.take_news() is None


class Overrun:
    """A socket for news that lost some."""

    def recv(self, count: int) -> bytes:
        raise OSError(errno.ENOBUFS, "lost")


def test_news_that_were_lost_may_be_any(fake: FakeKernel) -> None:
    with NbdKernel(fake) as kernel:
        kernel.news = Overrun()  # type: ignore[assignment]
        assert kernel.take_news() is None


class Scripted:
    """An orders socket whose answers are given."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers

    def sendall(self, data: bytes) -> None:
        pass

    def recv(self, count: int) -> bytes:
        return self.answers.pop(0)


def test_an_answer_to_an_older_order_is_passed_over(fake: FakeKernel) -> None:
    with NbdKernel(fake) as kernel:
        late = Message(kind=2, sequence=1, payload=struct.pack("=i", -16)).encode()
        done = Message(kind=2, sequence=2, payload=bytes(20)).encode()
        kernel._orders = Scripted([late, done])  # type: ignore[assignment]
        kernel.disconnect(0)


@pytest.mark.parametrize(
    "answer",
    [b"?", Message(kind=2, sequence=2).encode(), Message(kind=2, sequence=2, payload=bytes(4)).encode()],
)  # fmt: skip
def test_an_answer_that_is_none_is_silence(fake: FakeKernel, answer: bytes) -> None:
    with NbdKernel(fake) as kernel:
        kernel._orders = Scripted([answer])  # type: ignore[assignment]
        with pytest.raises(KernelSilent):
            kernel.devices()


def test_the_messages_of_the_fake_are_of_its_family(fake: FakeKernel) -> None:
    with NbdKernel(fake) as kernel:
        assert kernel._family.number == FAMILY
