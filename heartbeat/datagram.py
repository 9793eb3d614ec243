"""The datagram of a beat: 32 bytes of fixed layout, little-endian.

    magic u16 | version u8 | kind u8 | node u16 | reserved u16 (0) |
    cluster u64 | incarnation u64 | sequence u64

`cluster` is a digest of the cluster's name, so that a stray beat of another cluster is told apart; it proves
nothing.  A keyed MAC will come behind these fields with version 2, and SWIM's probes as further kinds.
"""

import enum
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from config.limits import NODE_NUMBER_MAX
from nodemanager.ids import Incarnation, NodeId

MAGIC: Final = 0x4252  # "RB" on the wire
VERSION: Final = 1
_LAYOUT: Final = struct.Struct("<HBBHHQQQ")
DATAGRAM_BYTES: Final = 32
assert _LAYOUT.size == DATAGRAM_BYTES
U64_MAX: Final = (1 << 64) - 1


class BadDatagram(Exception):
    """What arrived is not a datagram of ours.  Drop it, count it: anyone can send UDP."""


class DatagramKind(enum.IntEnum):
    """Kinds of datagrams.  Append only; the version that added each stands beside it."""

    BEAT = 1  # version 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One sign of life."""

    cluster: int
    node: NodeId
    incarnation: Incarnation
    # Rises from one beat of a life to the next, to the same target; a repeated or late one is no sign of life.
    sequence: int

    def encode(self) -> bytes:
        """Return the datagram."""
        assert 0 <= self.node <= NODE_NUMBER_MAX
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            DatagramKind.BEAT,
            self.node,
            0,
            self.cluster,
            self.incarnation,
            self.sequence,
        )

    @classmethod
    def parse(cls, datagram: bytes) -> "Beat":
        """Return the beat, or raise BadDatagram."""
        if len(datagram) != DATAGRAM_BYTES:
            raise BadDatagram(f"{len(datagram)} bytes, not {DATAGRAM_BYTES}")
        magic, version, kind, node, reserved, cluster, incarnation, sequence = _LAYOUT.unpack(
            datagram
        )
        if magic != MAGIC:
            raise BadDatagram(f"magic {magic:#06x}, not {MAGIC:#06x}")
        if version != VERSION:
            raise BadDatagram(f"version {version}, not {VERSION}")
        if kind != DatagramKind.BEAT:
            raise BadDatagram(f"unknown kind {kind}")
        if node > NODE_NUMBER_MAX:
            raise BadDatagram(f"node number {node}, not 0 to {NODE_NUMBER_MAX}")
        if reserved:
            raise BadDatagram(f"reserved field is {reserved}, not 0")
        return cls(
            cluster=cluster,
            node=NodeId(node),
            incarnation=Incarnation(incarnation),
            sequence=sequence,
        )


def cluster_digest(name: str) -> int:
    """Return the 64 bits by which beats of one cluster know each other."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
