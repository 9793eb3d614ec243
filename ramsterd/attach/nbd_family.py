"""What is said to the kernel's nbd, and what it says: the generic family "nbd" (linux/nbd-netlink.h).

Pure.  The kernel gives families and their multicast groups numbers as they come; the controller,
whose own number is fixed, knows them by name.
"""

import enum
from dataclasses import dataclass
from typing import Final

from ramsterd.attach.netlink import (
    Attributes,
    Flag,
    GenericMessage,
    MalformedNetlink,
    Message,
    nested,
    number,
    parse_attributes,
    string,
    text,
    u32,
    u64,
)

CONTROLLER: Final = 16
FAMILY_NAME: Final = "nbd"
GROUP_NAME: Final = "nbd_mc_group"
FAMILY_VERSION: Final = 1
# Any but 0.  What is in flight keeps the timer that it was sent with.
LET_GO_SECONDS: Final = 1


class ControllerCommand(enum.IntEnum):
    """What the controller of generic netlink is asked."""

    GETFAMILY = 3


class ControllerAttribute(enum.IntEnum):
    """What it answers."""

    FAMILY_ID = 1
    FAMILY_NAME = 2
    MCAST_GROUPS = 7


class GroupAttribute(enum.IntEnum):
    """One multicast group."""

    NAME = 1
    ID = 2


class Command(enum.IntEnum):
    """Commands of nbd; LINK_DEAD is said by the kernel alone, to the group."""

    CONNECT = 1
    DISCONNECT = 2
    RECONFIGURE = 3
    LINK_DEAD = 4
    STATUS = 5


class Attribute(enum.IntEnum):
    """Attributes of a command.  BACKEND_IDENTIFIER came with Linux 5.14.

    Older kernels pass over it.
    """

    INDEX = 1
    SIZE_BYTES = 2
    BLOCK_SIZE_BYTES = 3
    TIMEOUT = 4
    SERVER_FLAGS = 5
    CLIENT_FLAGS = 6
    SOCKETS = 7
    DEAD_CONN_TIMEOUT = 8
    DEVICE_LIST = 9
    BACKEND_IDENTIFIER = 10


# SOCKETS is a list of items, each with a descriptor; DEVICE_LIST a list of items, each with an
# index and a state.
SOCKET_ITEM: Final = 1
SOCKET_FD: Final = 1
DEVICE_ITEM: Final = 1
DEVICE_INDEX: Final = 1
DEVICE_CONNECTED: Final = 2


@dataclass(frozen=True, slots=True)
class Family:
    """The numbers of the family and of its multicast group, in this boot of the kernel."""

    number: int
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What the kernel is told of a disk at CONNECT.

    `dead_connection_seconds`: how long requests wait for a new connection; 0 would fail them at
    once.  `request_seconds`: when the kernel gives up a connection for a request without an answer;
    0 is never.  `identifier`: only who names it again may reconfigure the device.
    """

    size: int
    block_bytes: int
    server_flags: int
    dead_connection_seconds: int
    request_seconds: int
    identifier: str


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Whether a device is configured; that its connection lives is not said."""

    index: int
    is_configured: bool


def ask_family() -> Message:
    """Return the question for the numbers of the family."""
    asked = string(ControllerAttribute.FAMILY_NAME, FAMILY_NAME)
    return _request(CONTROLLER, ControllerCommand.GETFAMILY, asked)


def parse_family(payload: bytes) -> Family:
    """Return what the controller says, or raise MalformedNetlink."""
    attributes = parse_attributes(GenericMessage.parse(payload).attributes)
    for _, group in parse_attributes(_one(attributes, ControllerAttribute.MCAST_GROUPS)):
        described = parse_attributes(group)
        if text(_one(described, GroupAttribute.NAME)) == GROUP_NAME:
            family = number(_one(attributes, ControllerAttribute.FAMILY_ID))
            return Family(family, number(_one(described, GroupAttribute.ID)))
    raise MalformedNetlink(f"the family {FAMILY_NAME} has no group {GROUP_NAME}")


def connect(family: Family, index: int, descriptor: int, disk: Disk) -> Message:
    """Return the order to make a device of a connected socket, which is one of our descriptors."""
    return _request(
        family.number,
        Command.CONNECT,
        u32(Attribute.INDEX, index),
        u64(Attribute.SIZE_BYTES, disk.size),
        u64(Attribute.BLOCK_SIZE_BYTES, disk.block_bytes),
        u64(Attribute.TIMEOUT, disk.request_seconds),
        u64(Attribute.DEAD_CONN_TIMEOUT, disk.dead_connection_seconds),
        u64(Attribute.SERVER_FLAGS, disk.server_flags),
        # Neither to destroy the device at a disconnect nor to disconnect when nobody has it open.
        u64(Attribute.CLIENT_FLAGS, 0),
        string(Attribute.BACKEND_IDENTIFIER, disk.identifier),
        _sockets(descriptor),
    )


def reconfigure(family: Family, index: int, descriptor: int, disk: Disk) -> Message:
    """Return the order to take this socket if the present one is dead.

    Otherwise only the times change.

    The size is not among it: it never changes under a client.
    """
    return _request(
        family.number,
        Command.RECONFIGURE,
        u32(Attribute.INDEX, index),
        u64(Attribute.TIMEOUT, disk.request_seconds),
        u64(Attribute.DEAD_CONN_TIMEOUT, disk.dead_connection_seconds),
        string(Attribute.BACKEND_IDENTIFIER, disk.identifier),
        _sockets(descriptor),
    )


def let_go(family: Family, index: int, disk: Disk) -> Message:
    """Return the order to take back what is in flight on a dead connection, and let it wait with all others.

    Without a timer for requests the kernel holds on to it for ever: it sends it again when there is
    another connection, and fails it never.  `reconfigure` puts the timer back.
    """
    return _request(
        family.number,
        Command.RECONFIGURE,
        u32(Attribute.INDEX, index),
        u64(Attribute.TIMEOUT, disk.request_seconds or LET_GO_SECONDS),
        string(Attribute.BACKEND_IDENTIFIER, disk.identifier),
    )


def disconnect(family: Family, index: int) -> Message:
    """Return the order to end a device; requests that wait fail."""
    return _request(family.number, Command.DISCONNECT, u32(Attribute.INDEX, index))


def ask_status(family: Family) -> Message:
    """Return the question for all devices."""
    return _request(family.number, Command.STATUS)


def parse_status(payload: bytes) -> list[DeviceStatus]:
    """Return the devices, or raise MalformedNetlink."""
    attributes = parse_attributes(GenericMessage.parse(payload).attributes)
    devices: list[DeviceStatus] = []
    for _, item in parse_attributes(_one(attributes, Attribute.DEVICE_LIST)):
        device = parse_attributes(item)
        index = number(_one(device, DEVICE_INDEX))
        devices.append(DeviceStatus(index, number(_one(device, DEVICE_CONNECTED)) != 0))
    return devices


def parse_dead_link(payload: bytes) -> int | None:
    """Return the device whose connection died, None for other news; or raise MalformedNetlink."""
    said = GenericMessage.parse(payload)
    if said.command != Command.LINK_DEAD:
        return None
    return number(_one(parse_attributes(said.attributes), Attribute.INDEX))


def _request(family: int, command: int, *attributes: bytes) -> Message:
    generic = GenericMessage(
        command=command, version=FAMILY_VERSION, attributes=b"".join(attributes)
    )
    return Message(kind=family, flags=Flag.REQUEST | Flag.ACK, payload=generic.encode())


def _sockets(descriptor: int) -> bytes:
    item = nested(SOCKET_ITEM, u32(SOCKET_FD, descriptor))
    return nested(Attribute.SOCKETS, item)


def _one(attributes: Attributes, kind: int) -> bytes:
    for each, value in attributes:
        if each == kind:
            return value
    raise MalformedNetlink(f"no attribute {kind}")
