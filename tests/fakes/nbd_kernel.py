"""The kernel's nbd, in this process: it speaks netlink over socket pairs, and follows the rules of drivers/block/nbd.c.

It takes a new socket only in the place of a dead one and says nothing otherwise, refuses who names another backend,
and tells the members of its group when a connection dies.  A test says when the kernel notices that.
"""

import errno
import os
import socket
import struct
import threading
from dataclasses import dataclass, field

from ramsterd.attach.nbd_family import Attribute, Command
from ramsterd.attach.netlink import (
    GenericMessage,
    Kind,
    Message,
    attribute,
    nested,
    number,
    parse_attributes,
    parse_messages,
    string,
    text,
    u32,
)

FAMILY = 0x1C
GROUP = 9
CONTROLLER = 16


@dataclass
class FakeDevice:
    """One configured device."""

    sock: socket.socket
    attributes: dict[int, bytes]
    is_dead: bool = False
    taken_total: int = 1

    @property
    def identifier(self) -> str:
        return text(self.attributes[Attribute.BACKEND_IDENTIFIER])

    def attribute(self, kind: Attribute) -> int:
        return number(self.attributes[kind])


@dataclass
class FakeKernel:
    """Netlink for `NbdKernel`; `errors` are answers instead of what an order would do, by command."""

    has_module: bool = True
    is_silent: bool = False
    devices: dict[int, FakeDevice] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    orders: list[int] = field(default_factory=list)
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _members: list[socket.socket] = field(default_factory=list)

    def open(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pairs.append((ours, theirs))
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
        return theirs

    def join(self, sock: socket.socket, group: int) -> None:
        assert group == GROUP
        (ours,) = (ours for ours, theirs in self._pairs if theirs is sock)
        self._members.append(ours)

    def close(self) -> None:
        for pair in self._pairs:
            for each in pair:
                each.close()
        for device in self.devices.values():
            device.sock.close()

    def notice_end(self, index: int, *, is_told: bool = True) -> None:
        """The kernel finds the connection dead, and shuts it down."""
        device = self.devices[index]
        device.is_dead = True
        device.sock.shutdown(socket.SHUT_RDWR)
        if is_told:
            self.tell(GenericMessage(command=Command.LINK_DEAD, attributes=u32(1, index)).encode())

    def tell(self, payload: bytes) -> None:
        """Send news to the members of the group."""
        for member in self._members:
            member.send(Message(kind=FAMILY, payload=payload).encode())

    def _serve(self, sock: socket.socket) -> None:
        while True:
            try:
                datagram = sock.recv(65536)
            except OSError:
                return
            if not datagram:
                return
            (order,) = parse_messages(datagram)
            if self.is_silent:
                continue
            try:
                answers, error = self._obey(order), 0
            except OSError as refusal:
                answers, error = [], refusal.errno or errno.EIO
            for payload in answers:
                answer = Message(kind=order.kind, sequence=order.sequence, payload=payload)
                sock.send(answer.encode())
            done = struct.pack("=i", -error) + datagram[:16]
            sock.send(Message(kind=Kind.ERROR, sequence=order.sequence, payload=done).encode())

    def _obey(self, order: Message) -> list[bytes]:
        generic = GenericMessage.parse(order.payload)
        if order.kind == CONTROLLER:
            return [self._describe()]
        self.orders.append(generic.command)
        if error := self.errors.get(generic.command):
            raise OSError(error, os.strerror(error))
        attributes = dict(parse_attributes(generic.attributes))
        if generic.command == Command.STATUS:
            return [self._status()]
        index = number(attributes[Attribute.INDEX])
        match generic.command:
            case Command.CONNECT:
                if index in self.devices:
                    raise OSError(errno.EBUSY, "")
                self.devices[index] = FakeDevice(_socket_in(attributes), attributes)
            case Command.RECONFIGURE:
                self._reconfigure(index, attributes)
            case Command.DISCONNECT:
                if device := self.devices.pop(index, None):
                    device.sock.shutdown(socket.SHUT_RDWR)
                    device.sock.close()
            case _:
                raise OSError(errno.EOPNOTSUPP, "")
        return []

    def _reconfigure(self, index: int, attributes: dict[int, bytes]) -> None:
        device = self.devices.get(index)
        if device is None or device.identifier != text(attributes[Attribute.BACKEND_IDENTIFIER]):
            raise OSError(errno.EINVAL, "")
        device.attributes[Attribute.TIMEOUT] = attributes[Attribute.TIMEOUT]
        if device.is_dead and Attribute.SOCKETS in attributes:
            device.sock.close()
            device.sock = _socket_in(attributes)
            device.is_dead = False
            device.taken_total += 1

    def _describe(self) -> bytes:
        if not self.has_module:
            raise OSError(errno.ENOENT, "")
        group = nested(1, u32(2, GROUP), string(1, "nbd_mc_group"))
        found = attribute(1, struct.pack("=H", FAMILY)) + nested(7, group)
        return GenericMessage(command=1, version=2, attributes=string(2, "nbd") + found).encode()

    def _status(self) -> bytes:
        items = [
            nested(1, u32(1, index), attribute(2, bytes([index in self.devices])))
            for index in sorted({0, 1, *self.devices})
        ]
        return GenericMessage(command=Command.STATUS, attributes=nested(9, *items)).encode()


def _socket_in(attributes: dict[int, bytes]) -> socket.socket:
    """Return a socket of our own on the connection that an order names."""
    ((_, item),) = parse_attributes(attributes[Attribute.SOCKETS])
    ((_, descriptor),) = parse_attributes(item)
    return socket.socket(fileno=os.dup(number(descriptor)))
