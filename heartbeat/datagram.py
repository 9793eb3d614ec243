"""SWIM's datagram: a head of 48 bytes, rows of 18 bytes, and a MAC behind them; little-endian.

    magic u16 | version u8 | kind u8 | node u16 | target u16 | subject u16 | rows u8 | reserved u8
    (0) | refutation u32 | cluster u64 | incarnation u64 | counter u64 | probe u64

    row: node u16 | state u8 | reserved u8 (0) | refutation u32 | incarnation u64 | accuser u16

`cluster` is a digest of the cluster's name, so that a stray datagram of another cluster is told
apart; it proves nothing.  The MAC is `heartbeat.seal`'s.
"""

import enum
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from config.limits import NODE_NUMBER_MAX
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState

MAGIC: Final = 0x4252  # "RB" on the wire
VERSION: Final = 2
_HEAD: Final = struct.Struct("<HBBHHHBBIQQQQ")
_ROW: Final = struct.Struct("<HBBIQH")
HEAD_BYTES: Final = 48
ROW_BYTES: Final = 18
assert _HEAD.size == HEAD_BYTES
assert _ROW.size == ROW_BYTES
ROWS_MAX: Final = 32
MESSAGE_BYTES_MAX: Final = HEAD_BYTES + ROWS_MAX * ROW_BYTES
U32_MAX: Final = (1 << 32) - 1


class BadDatagram(Exception):
    """Received bytes are not a datagram of ours.  Drop it, count it: anyone can send UDP."""


class DatagramKind(enum.IntEnum):
    """Kinds of datagrams.  Append only; the version that added each stands beside it."""

    # 1 was version 1's beat.
    PING = 2  # version 2
    ACK = 3  # version 2
    NACK = 4  # version 2: the subject did not answer me yet, but I am here
    PING_REQUEST = 5  # version 2: ping the subject for me
    GOSSIP = 6  # version 2


_KINDS: Final = frozenset(kind.value for kind in DatagramKind)
_STATES: Final = {1: NodeState.UP, 2: NodeState.SUSPECT, 3: NodeState.DOWN}
_STATE_NUMBERS: Final = {state: number for number, state in _STATES.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one incarnation of a node, as one node believes it."""

    node: NodeId
    state: NodeState  # UP, SUSPECT or DOWN
    incarnation: Incarnation
    # How often this incarnation denied being suspect or down; the higher number is the newer news.
    refutation: int
    accuser: NodeId  # who says so; the node itself for UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The contents of one datagram."""

    kind: DatagramKind
    node: NodeId  # the sender
    incarnation: Incarnation
    refutation: int
    target: NodeId
    probe: int  # an ACK or NACK repeats the number that the PING or PING_REQUEST drew
    subject: NodeId  # whom a PING_REQUEST is about, or an ACK or NACK to it; else the target
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagram:
    """A message in its envelope."""

    message: Message
    cluster: int
    # Rises with each datagram of an incarnation, to any target.
    counter: int

    def encode(self) -> bytes:
        """Return the datagram, without a MAC."""
        message = self.message
        assert len(message.rows) <= ROWS_MAX
        head = _HEAD.pack(
            MAGIC,
            VERSION,
            message.kind,
            message.node,
            message.target,
            message.subject,
            len(message.rows),
            0,
            message.refutation,
            self.cluster,
            message.incarnation,
            self.counter,
            message.probe,
        )
        return head + b"".join(
            _ROW.pack(
                row.node,
                _STATE_NUMBERS[row.state],
                0,
                row.refutation,
                row.incarnation,
                row.accuser,
            )
            for row in message.rows
        )

    @classmethod
    def parse(cls, data: bytes) -> "Datagram":
        """Return the datagram (its MAC taken off), or raise BadDatagram."""
        if not HEAD_BYTES <= len(data) <= MESSAGE_BYTES_MAX:
            raise BadDatagram(f"{len(data)} bytes, not {HEAD_BYTES} to {MESSAGE_BYTES_MAX}")
        head = _HEAD.unpack_from(data)
        magic, version, kind, node, target, subject, rows, reserved = head[:8]
        refutation, cluster, incarnation, counter, probe = head[8:]
        if magic != MAGIC:
            raise BadDatagram(f"magic {magic:#06x}, not {MAGIC:#06x}")
        if version != VERSION:
            raise BadDatagram(f"version {version}, not {VERSION}")
        if kind not in _KINDS:
            raise BadDatagram(f"unknown kind {kind}")
        if reserved:
            raise BadDatagram(f"reserved field is {reserved}, not 0")
        if rows > ROWS_MAX or len(data) != HEAD_BYTES + rows * ROW_BYTES:
            raise BadDatagram(f"{rows} rows in {len(data)} bytes")
        message = Message(
            kind=DatagramKind(kind),
            node=_node(node),
            incarnation=Incarnation(incarnation),
            refutation=refutation,
            target=_node(target),
            probe=probe,
            subject=_node(subject),
            rows=tuple(_parse_row(*row) for row in _ROW.iter_unpack(data[HEAD_BYTES:])),
        )
        return cls(message=message, cluster=cluster, counter=counter)


def _parse_row(
    node: int, state: int, reserved: int, refutation: int, incarnation: int, accuser: int
) -> Row:
    if state not in _STATES:
        raise BadDatagram(f"unknown state {state}")
    if reserved:
        raise BadDatagram(f"reserved field of a row is {reserved}, not 0")
    return Row(_node(node), _STATES[state], Incarnation(incarnation), refutation, _node(accuser))


def _node(number: int) -> NodeId:
    if number > NODE_NUMBER_MAX:
        raise BadDatagram(f"node number {number}, not 0 to {NODE_NUMBER_MAX}")
    return NodeId(number)


def cluster_digest(name: str) -> int:
    """Return the 64 bits by which datagrams of one cluster know each other."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
