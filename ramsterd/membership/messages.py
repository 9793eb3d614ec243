"""What nodes say to each other about members: msgpack, parsed once, on arrival.

    MEMBERS   [version, origin, [[version, origin] * ancestors], [bytes of each group]] | groups   no answer
              a group: [[number, name, address, port, zone, cordoned, draining, drain_number,
                         drain_began_at, drain_deadline_at, drain_origin, drain_reason] * up to 128]
    ASK       [node number]: what have you to do with it?                                          HOLDINGS follows
    HOLDINGS  [node number, pages of mine only there, pages of mine there, pages of it here,
               0, 0, 0, false]                                                                     no answer
              of the sender itself: [.., its pages that only peers have, that peers have, pages of
              others here, all its pages, clients connected, pages of others here at most in its
              drain, whether nobody asked]; earlier releases neither send nor read the last two

ASK is no request of the link: a node that is slow to answer costs nobody a slot, and the asker has
its own timeout.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Final, cast

from config.errors import ConfigError
from config.limits import MEMBERSHIP_VERSION_MAX, NODE_NUMBER_MAX, NODES_MAX
from config.model import ClusterConfig, NodeConfig
from config.reader import read_plain
from net.errors import RemoteProtocolError
from net.frame import APPLICATION_TYPE_MIN, Frame, FrameLimits
from net.packing import MESSAGE_BYTES_MAX, check_fields, pack_fields, unpack, unpack_fields
from nodemanager.changes import ANCESTORS_MAX, Said, Version
from nodemanager.ids import NodeId
from ramsterd.remote import wire


class MemberMessage(IntEnum):
    """Frame types of membership.  Append only.

    The protocol version that added each stands beside it.
    """

    MEMBERS = 48  # version 1
    ASK = 49  # version 1
    HOLDINGS = 50  # version 1


# A group of the longest names, addresses and reasons stays below what one message may have.  Others
# may send larger ones.
NODES_PER_GROUP: Final = 64
NODES_PER_GROUP_MAX: Final = 128
GROUPS_MAX: Final = -(-NODES_MAX // NODES_PER_GROUP)
HOLDINGS_BYTES_MAX: Final = 64
KEYS: Final = (
    "number", "name", "address", "port", "zone", "cordoned", "draining",
    "drain_number", "drain_began_at", "drain_deadline_at", "drain_origin", "drain_reason",
)  # fmt: skip
# What each member has at least: the others came later.
KEYS_MIN: Final = 7
PAGES_MAX: Final = (1 << 63) - 1

LIMITS: Final[dict[int, FrameLimits]] = {
    MemberMessage.MEMBERS: FrameLimits(NODES_MAX, 2048, GROUPS_MAX * MESSAGE_BYTES_MAX),
    MemberMessage.ASK: FrameLimits(1, HOLDINGS_BYTES_MAX, 0),
    MemberMessage.HOLDINGS: FrameLimits(1, HOLDINGS_BYTES_MAX, 0),
}
assert set(LIMITS) == set(MemberMessage)
assert min(MemberMessage) >= APPLICATION_TYPE_MIN
assert not set(LIMITS) & set(wire.LIMITS), "a frame type means one thing"
ALL_LIMITS: Final[dict[int, FrameLimits]] = {**wire.LIMITS, **LIMITS}


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a node has to do with another: pages of its own there, the last copies among them, pages of the other here.

    Of itself: pages of its own that peers have, those that only peers have, pages of all others
    here; and all pages that it owns, wherever they are, and how many clients it has: they end with
    it.  While it drains also how many pages of others were here at most since then; 0: it does not
    drain, or its release does not say.
    """

    node: NodeId
    last_copies: int
    pages_there: int
    pages_here: int
    pages_owned: int = 0
    clients: int = 0
    pages_here_max: int = 0
    # Whether a node that drains tells it of itself, and was not asked.
    is_unasked: bool = False


HOLDINGS_TYPES: Final = (*[int] * 7, bool)
# What each HOLDINGS has at least: the others came later.
HOLDINGS_FIELDS_MIN: Final = 6
assert len(HOLDINGS_TYPES) == len(fields(Holdings))


def members_message(said: Said) -> tuple[bytes, bytes]:
    """Return table and body of a MEMBERS."""
    groups = [
        pack_fields([[getattr(node, key) for key in KEYS] for node in some])
        for some in (
            said.nodes[start : start + NODES_PER_GROUP]
            for start in range(0, len(said.nodes), NODES_PER_GROUP)
        )
    ]
    ancestors = [[each.number, each.origin] for each in said.ancestors]
    head = [said.version.number, said.version.origin, ancestors, [len(each) for each in groups]]
    return pack_fields(head), b"".join(groups)


def parse_members(frame: Frame) -> Said:
    """Return what a peer believes of the membership.

    Each member is right by itself, not yet together.

    Raises:
        RemoteProtocolError: Anything in it is not as it must be.
    """
    number, origin, ancestors, sizes = cast(
        "tuple[int, int, list[object], list[object]]",
        unpack_fields(bytes(frame.table), (int, int, list, list)),
    )
    if len(ancestors) > ANCESTORS_MAX:
        raise RemoteProtocolError(f"MEMBERS with {len(ancestors)} ancestors, not {ANCESTORS_MAX}")
    rows = [row for group in _groups(sizes, bytes(frame.body)) for row in group]
    return Said(
        _version([number, origin]), tuple(_version(each) for each in ancestors), _nodes(rows)
    )


def _version(found: object) -> Version:
    match found:
        case [int(number), int(origin)] if type(number) is int and type(origin) is int:
            if 0 <= number <= MEMBERSHIP_VERSION_MAX and 0 <= origin <= NODE_NUMBER_MAX:
                return Version(number, origin)
    raise RemoteProtocolError("MEMBERS with a version that is none")


def _groups(sizes: list[object], body: bytes) -> list[list[object]]:
    if len(sizes) > GROUPS_MAX:
        raise RemoteProtocolError(f"MEMBERS of {len(sizes)} groups, at most {GROUPS_MAX}")
    groups: list[list[object]] = []
    start = 0
    for size in sizes:
        if type(size) is not int or not 0 < size <= len(body) - start:
            raise RemoteProtocolError("MEMBERS with a group that its body does not hold")
        group = unpack(body[start : start + size])
        if not isinstance(group, list) or len(group) > NODES_PER_GROUP_MAX:
            raise RemoteProtocolError("MEMBERS with a group that is no list of members")
        groups.append(group)
        start += size
    if start != len(body):
        raise RemoteProtocolError(f"MEMBERS with {len(body) - start} bytes behind its groups")
    return groups


def _nodes(rows: list[object]) -> tuple[NodeConfig, ...]:
    """Read members as those of a file are read.  Fields behind the known ones are of a newer node."""
    tables = []
    for row in rows:
        if not isinstance(row, list) or len(row) < KEYS_MIN:
            raise RemoteProtocolError(f"MEMBERS with a member of fewer than {KEYS_MIN} fields")
        tables.append(dict(zip(KEYS, row, strict=False)))
    plain = {"name": "members", "node": tables}
    try:
        return read_plain(plain, ClusterConfig, file="MEMBERS", folder=Path()).node
    except ConfigError as error:
        raise RemoteProtocolError(str(error)) from None


def ask_message(node: NodeId) -> bytes:
    """Return the table of an ASK."""
    return pack_fields([node])


def parse_ask(frame: Frame) -> NodeId:
    """Return which node is asked about.

    Raises:
        RemoteProtocolError: It names none.
    """
    (node,) = cast("tuple[int]", unpack_fields(bytes(frame.table), (int,)))
    return _node(node)


def holdings_message(holdings: Holdings) -> bytes:
    """Return the table of a HOLDINGS."""
    return pack_fields([getattr(holdings, each.name) for each in fields(Holdings)])


def parse_holdings(frame: Frame) -> Holdings:
    """Return the answer.

    Raises:
        RemoteProtocolError: It is none.
    """
    found = unpack(bytes(frame.table))
    said = len(found) if isinstance(found, list) else 0
    types = HOLDINGS_TYPES[: max(HOLDINGS_FIELDS_MIN, said)]
    node, *counts = cast("tuple[int, ...]", check_fields(found, types))
    if not all(0 <= count <= PAGES_MAX for count in counts):
        raise RemoteProtocolError(f"HOLDINGS of {', '.join(map(str, counts))}")
    return Holdings(_node(node), *counts)  # type: ignore[arg-type]  # the last one is a bool


def _node(number: int) -> NodeId:
    if not 0 <= number <= NODE_NUMBER_MAX:
        raise RemoteProtocolError(f"node number {number}, not 0 to {NODE_NUMBER_MAX}")
    return NodeId(number)
