"""Any frame about members is what a peer believes, asks or answers, the same when encoded again, or RemoteProtocolError; a membership taken over is a valid one."""

import random
from collections.abc import Mapping

from config.limits import MEMBERSHIP_VERSION_MAX
from config.model import ClusterConfig, NodeConfig
from config.rules import check_cluster
from net.errors import RemoteProtocolError
from net.frame import Frame
from net.packing import MESSAGE_BYTES_MAX, pack_fields, unpack
from nodemanager.changes import Change, ChangeRefused, Cordon, MembershipHistory, Said, Version
from nodemanager.ids import NodeId
from ramsterd.membership.messages import (
    LIMITS,
    Holdings,
    MemberMessage,
    ask_message,
    holdings_message,
    members_message,
    parse_ask,
    parse_holdings,
    parse_members,
)
from tests.fuzz.decoding import decoded
from tests.fuzz.repairing import Parts, change_field, repair_frames
from tests.fuzz.target import Target
from tests.helpers.links import make_frame


def node(number: int, **changes: object) -> NodeConfig:
    plain = {"number": number, "name": f"n{number}", "address": "127.0.0.1", "port": 7000 + number}
    return NodeConfig(**{**plain, **changes})  # type: ignore[arg-type]  # a test names fields freely


CLUSTER = ClusterConfig(
    name="lab", node=(node(1), node(2), node(3)), membership_version=3, membership_origin=1
)


def check_members(found: Frame) -> set[str]:
    said = parse_members(found)
    table, body = members_message(said)
    (again,) = decoded(make_frame(MemberMessage.MEMBERS, found.count, table, body), LIMITS)
    assert parse_members(again) == said
    return {"members"} | take_over(said) | take_over(said, Cordon(NodeId(3), is_cordoned=True))


def take_over(said: Said, *ours: Change) -> set[str]:
    """Hear of a membership after changes of our own."""
    history = MembershipHistory(CLUSTER, NodeId(1))
    for change in ours:
        history.commit(change, history.propose(change))
    before = history.version
    try:
        adopted = history.on_said(said)
    except ChangeRefused as refused:
        assert str(refused).isprintable(), "it stands in a log"
        assert history.version == before
        return {"not taken over"}
    if adopted is None:
        assert history.version == before
        return {"not newer"}
    check_cluster(history.cluster, file="members")
    assert history.version >= said.version > before
    assert history.version.number <= MEMBERSHIP_VERSION_MAX, "no file and no peer would take it"
    assert {*adopted.made_again, *(change for change, _ in adopted.given_up)} <= set(ours)
    outcomes = {"taken over"}
    outcomes |= {"made again"} if adopted.made_again else set()
    return outcomes | ({"given up"} if adopted.given_up else set())


def check_ask(found: Frame) -> set[str]:
    assert unpack(ask_message(parse_ask(found))) == unpack(bytes(found.table))[:1]  # type: ignore[index]  # a list
    return {"ask"}


def check_holdings(found: Frame) -> set[str]:
    holdings = parse_holdings(found)
    (again,) = decoded(make_frame(MemberMessage.HOLDINGS, 1, holdings_message(holdings)), LIMITS)
    assert parse_holdings(again) == holdings
    return {"holdings"}


PARSERS = {
    MemberMessage.MEMBERS: check_members,
    MemberMessage.ASK: check_ask,
    MemberMessage.HOLDINGS: check_holdings,
}


def check(data: bytes) -> set[str]:
    outcomes: set[str] = set()
    for found in decoded(data, LIMITS):
        if found.type not in PARSERS:
            continue
        try:
            outcomes |= PARSERS[MemberMessage(found.type)](found)
        except RemoteProtocolError as error:
            assert str(error).isprintable(), "it stands in a log"
            assert len(str(error)) < 1000
            outcomes.add(f"refused {found.type}")
    return outcomes


def say(number: int, *nodes: NodeConfig, ancestors: int = 0) -> bytes:
    before = tuple(Version(each, 2) for each in range(ancestors))
    table, body = members_message(Said(Version(number, 2), before, nodes))
    return make_frame(MemberMessage.MEMBERS, len(nodes), table, body)


def seeds() -> Mapping[str, bytes]:
    many = [node(each) for each in range(130)]
    return {
        "newer": say(5, node(1), node(2), node(4, zone="rack1", cordoned=True), ancestors=3),
        "own-change-known": say(5, *CLUSTER.node, ancestors=0),
        "many-ancestors": say(5, *CLUSTER.node, ancestors=40),
        "last-version": say(MEMBERSHIP_VERSION_MAX, *CLUSTER.node),
        "many-groups": make_frame(
            MemberMessage.MEMBERS, 1, pack_fields([1, 1, [], [1] * 9]), bytes(9)
        ),
        "older": say(0, *CLUSTER.node),
        "without-us": say(7, node(2), node(3)),
        "twice": say(7, node(1), node(2, port=7001)),
        "elsewhere": say(7, node(1), node(2, address="10.0.0.1")),
        "two-groups": say(8, *many),
        "bad-name": say(8, node(1, name="Upper Case")),
        "deep": deep_name(),
        "ask": make_frame(MemberMessage.ASK, 1, ask_message(NodeId(2))),
        "holdings": make_frame(
            MemberMessage.HOLDINGS, 1, holdings_message(Holdings(NodeId(2), 1, 3, 4))
        ),
        "bad-ask": make_frame(MemberMessage.ASK, 1, pack_fields([-1])),
        "bad-holdings": make_frame(MemberMessage.HOLDINGS, 1, pack_fields([1, 0, -1, 0])),
    }


def deep_name() -> bytes:
    """Return a member whose name is a list in a list, as deep as msgpack goes."""
    row = b"\x91\x97\x01" + b"\x91" * 500 + b"\x01" + b"\xa9127.0.0.1\x01\xa0\xc2\xc2"
    return make_frame(MemberMessage.MEMBERS, 1, pack_fields([1, 1, [], [len(row)]]), row)


def repair(data: bytes, rng: random.Random) -> bytes:
    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if rng.random() < 0.3:
            table = change_field(table, rng)
        if frame_type != MemberMessage.MEMBERS:
            return 1, table[: LIMITS[frame_type].table_bytes_max], b""
        if rng.random() < 0.5:
            body = change_field(body, rng)
        body = body[:MESSAGE_BYTES_MAX]
        return count, repair_sizes(table, len(body))[:2048], body

    return repair_frames(data, LIMITS, repair_parts)


def repair_sizes(table: bytes, body_bytes: int) -> bytes:
    """Say that the body is one group, if the table can say so."""
    try:
        fields = unpack(table)
    except RemoteProtocolError:
        return table
    match fields:
        case [_, _, _, list(sizes)] if (
            sum(each for each in sizes if type(each) is int) != body_bytes
        ):
            return pack_fields([*fields[:3], [body_bytes]])
    return table


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        [
            "members",
            "taken over",
            "not taken over",
            "not newer",
            "made again",
            "given up",
            "ask",
            "holdings",
        ]
        + [f"refused {kind:d}" for kind in MemberMessage]
    ),
    repair=repair,
    bytes_max=8192,
    tokens=(b"127.0.0.1", b"\xa3::1", b"\xcd\x03\xff", b"\xc2", b"\xc3", b"\x97"),
)
