"""Members converge: whatever is changed where, and in whatever order it is heard, all nodes end alike.

And the messages: any bytes give a message or RemoteProtocolError; what is said is what is heard.
"""

import random
from dataclasses import astuple, fields, replace

import msgpack
import pytest
from hypothesis import given, strategies as st

from config.limits import NODE_NUMBER_MAX, REASON_BYTES_MAX, TIMESTAMP_MAX
from config.model import NodeConfig
from net.errors import RemoteProtocolError
from net.frame import Frame
from net.packing import pack_fields, unpack_fields
from nodemanager.changes import (
    ANCESTORS_MAX,
    Add,
    Change,
    ChangeRefused,
    Cordon,
    MembershipHistory,
    Move,
    Remove,
    Said,
    Version,
    without_order,
)
from nodemanager.ids import NodeId
from ramsterd.membership import messages
from ramsterd.membership.messages import Holdings, MemberMessage
from tests.helpers.clusters import cluster_of

NODES = 4
# Behind the node, and before the flag at the end.
HOLDINGS_COUNTS = len(fields(Holdings)) - 2
# Nodes 0 to 3 change things; 4 to 9 are what they add and remove.
numbers = st.integers(4, 9)
nodes = st.builds(
    NodeConfig,
    number=numbers,
    # Few names and ports, so that two additions often can't both be.
    name=st.sampled_from(["x", "y", "z"]),
    address=st.just("127.0.0.1"),
    port=st.integers(9000, 9004),
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Add, nodes),
    st.builds(Remove, numbers),
    st.builds(Cordon, st.integers(0, 9), st.booleans()),
    # Few places, so that two moves often can't both be.
    st.builds(Move, st.integers(0, 9), st.just("127.0.0.1"), st.integers(9000, 9004)),
)
steps = st.lists(st.tuples(st.integers(0, NODES - 1), st.none() | changes), max_size=25)


def settle(histories: list[MembershipHistory]) -> int:
    """Let everybody hear everybody until nothing changes; return in how many rounds."""
    for rounds in range(1, 100):
        before = [each.version for each in histories]
        for one in histories:
            said = one.say()
            for other in histories:
                other.on_said(said)
        if [each.version for each in histories] == before:
            return rounds
    raise AssertionError("never at rest")


@given(steps=steps, seed=st.integers(0, 1000))
def test_all_nodes_end_with_one_membership(
    steps: list[tuple[int, Change | None]], seed: int
) -> None:
    """A step is a change at a node, or one node hearing a random other one."""
    rng = random.Random(seed)
    cluster = cluster_of(NODES)
    histories = [MembershipHistory(cluster, NodeId(n)) for n in range(NODES)]
    for place, change in steps:
        history = histories[place]
        version = history.version
        if change is None:
            history.on_said(rng.choice(histories).say())
        else:
            try:
                history.commit(change, history.propose(change))
            except ChangeRefused:
                assert history.version == version
        assert history.version >= version, "never back"
    settle(histories)
    assert len({each.cluster for each in histories}) == 1


@given(order=st.permutations(range(NODES)))
def test_changes_at_the_same_time_that_agree_are_all_kept(order: list[int]) -> None:
    histories = [MembershipHistory(cluster_of(NODES), NodeId(n)) for n in range(NODES)]
    for n, history in enumerate(histories):
        new = NodeConfig(number=10 + n, name=f"new{n}", address="127.0.0.1", port=9000 + n)
        change = Add(new)
        history.commit(change, history.propose(change))
    settle([histories[place] for place in order])
    for history in histories:
        assert {node.number for node in history.cluster.node} == {*range(NODES), *range(10, 14)}


names = st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z0-9]", fullmatch=True)
members = st.lists(
    st.builds(
        NodeConfig,
        number=st.integers(0, 1023),
        name=names,
        address=st.integers(1, 254).map(lambda last: f"10.0.0.{last}"),
        port=st.integers(1, 65535),
        zone=st.just("") | names,
        cordoned=st.booleans(),
        draining=st.booleans(),
        drain_number=st.integers(0, 1 << 47),
        drain_began_at=st.integers(0, TIMESTAMP_MAX),
        drain_deadline_at=st.integers(0, TIMESTAMP_MAX),
        drain_origin=st.integers(0, 1023),
        drain_reason=st.just("") | st.just("a new kernel, für zwei"),
    ),
    min_size=1,
    max_size=300,
).map(tuple)
versions = st.builds(Version, st.integers(0, (1 << 48) - 1), st.integers(0, 1023))
saids = st.builds(Said, versions, st.lists(versions, max_size=ANCESTORS_MAX).map(tuple), members)


def frame(frame_type: int, table: bytes, body: bytes = b"") -> Frame:
    return Frame(frame_type, False, 0, 1, memoryview(table), memoryview(body))


@given(said=saids)
def test_what_is_said_is_heard(said: Said) -> None:
    table, body = messages.members_message(said)
    limits = messages.LIMITS[MemberMessage.MEMBERS]
    assert len(table) <= limits.table_bytes_max
    assert len(body) <= limits.body_bytes_max
    assert messages.parse_members(frame(MemberMessage.MEMBERS, table, body)) == said


@given(said=saids, place=st.integers(0, 10_000), byte=st.integers(0, 255), in_body=st.booleans())
def test_almost_members_give_members_or_a_named_error(
    said: Said, place: int, byte: int, in_body: bool
) -> None:
    table, body = (bytearray(each) for each in messages.members_message(said))
    changed = body if in_body else table
    changed[place % len(changed)] = byte
    try:
        heard = messages.parse_members(frame(MemberMessage.MEMBERS, bytes(table), bytes(body)))
    except RemoteProtocolError:
        return
    assert isinstance(heard, Said)


@given(table=st.binary(max_size=64), body=st.binary(max_size=64))
def test_any_bytes_give_a_message_or_a_named_error(table: bytes, body: bytes) -> None:
    for parse in (
        messages.parse_members,
        messages.parse_ask,
        messages.parse_holdings,
    ):
        try:
            parse(frame(48, table, body))
        except RemoteProtocolError:
            pass


counts = st.integers(0, messages.PAGES_MAX)
some_holdings = st.builds(
    Holdings,
    st.integers(0, NODE_NUMBER_MAX).map(NodeId),
    *[counts] * (HOLDINGS_COUNTS),
    st.booleans(),
)


@given(holdings=some_holdings)
def test_holdings_are_heard(holdings: Holdings) -> None:
    table = messages.holdings_message(holdings)
    assert len(table) <= messages.HOLDINGS_BYTES_MAX
    assert messages.parse_holdings(frame(50, table)) == holdings
    asked = messages.parse_ask(frame(49, messages.ask_message(holdings.node)))
    assert asked == holdings.node


@given(holdings=some_holdings, newer=st.lists(st.text(max_size=4) | counts, max_size=3))
def test_holdings_of_another_release_are_heard_as_far_as_both_know(
    holdings: Holdings, newer: list[object]
) -> None:
    plain = list(astuple(holdings))
    known = plain[: messages.HOLDINGS_FIELDS_MIN]
    older = messages.parse_holdings(frame(50, pack_fields(known)))
    said = replace(holdings, pages_here_max=0, is_unasked=False)
    assert older == said, "it does not say what came later"
    assert messages.parse_holdings(frame(50, pack_fields([*plain, *newer]))) == holdings
    # What an earlier release reads of ours: it took the first fields, and let the rest be.
    assert unpack_fields(messages.holdings_message(holdings), (int,) * len(known)) == tuple(known)


@given(holdings=some_holdings, place=st.integers(1, HOLDINGS_COUNTS), data=st.data())
def test_holdings_with_a_count_that_is_none_are_refused(
    holdings: Holdings, place: int, data: st.DataObject
) -> None:
    plain: list[object] = list(astuple(holdings))
    plain[place] = data.draw(st.sampled_from([-1, messages.PAGES_MAX + 1, True, "9", None]))
    with pytest.raises(RemoteProtocolError, match=r"HOLDINGS of|field \d is"):
        messages.parse_holdings(frame(50, pack_fields(plain)))


def test_holdings_of_too_few_fields_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="5 fields, expected 6"):
        messages.parse_holdings(frame(50, pack_fields([1, 0, 0, 0, 0])))


def test_a_member_of_an_earlier_release_has_no_order() -> None:
    """It neither sends nor reads what stands behind `draining`, and that is no difference of two lists."""
    node = replace(cluster_of(1).node[0], draining=True, drain_number=7, drain_reason="why")
    row = [getattr(node, key) for key in messages.KEYS]
    old = pack_fields([row[: messages.KEYS_MIN]])
    table = pack_fields([1, 0, [], [len(old)]])
    said = messages.parse_members(frame(MemberMessage.MEMBERS, table, old))
    assert said.nodes == (without_order(node),)
    newer = pack_fields([[*row, "what a later release may add"]])
    table = pack_fields([1, 0, [], [len(newer)]])
    assert messages.parse_members(frame(MemberMessage.MEMBERS, table, newer)).nodes == (node,)


def test_the_largest_membership_fits_its_limits() -> None:
    longest = NodeConfig(
        number=1023,
        name="n" * 63,
        address="ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
        port=65535,
        zone="z" * 63,
        cordoned=True,
        draining=True,
        drain_number=(1 << 48) - 1,
        drain_began_at=TIMESTAMP_MAX,
        drain_deadline_at=TIMESTAMP_MAX,
        drain_origin=1023,
        drain_reason="r" * REASON_BYTES_MAX,
    )
    top = Version((1 << 48) - 1, 1023)
    table, body = messages.members_message(Said(top, (top,) * ANCESTORS_MAX, (longest,) * 512))
    limits = messages.LIMITS[MemberMessage.MEMBERS]
    assert len(table) <= limits.table_bytes_max
    assert len(body) <= limits.body_bytes_max


@pytest.mark.parametrize(
    ("table", "body", "says"),
    [
        ([1, 0, [[1, 0]] * 33, []], b"", "33 ancestors"),
        ([1, 0, [], [1] * 9], b"", "9 groups"),
        ([1, 0, [], [3]], b"\x90", "does not hold"),
        ([1, 0, [], [1]], b"\x90\x90", "1 bytes behind"),
        ([1, 2000, [], []], b"", "version that is none"),
        ([1, 0, [], []], b"", "0 \\[\\[node\\]\\] tables"),
        ([1, 0, [], [2]], msgpack.packb([1]), "fewer than 7 fields"),
    ],
)
def test_what_is_wrong_is_named(table: list[object], body: bytes, says: str) -> None:
    with pytest.raises(RemoteProtocolError, match=says):
        messages.parse_members(frame(48, pack_fields(table), body))


def test_the_newer_version_wins_at_any_node_that_is_asked() -> None:
    """The rule as such: by number, then by origin."""
    one, other = (MembershipHistory(cluster_of(2), NodeId(n)) for n in range(2))
    for history in (one, other):
        change = Cordon(NodeId(history._local), is_cordoned=True)
        history.commit(change, history.propose(change))
    assert one.version < other.version
    assert other.on_said(one.say()) is None
    adopted = one.on_said(other.say())
    assert adopted is not None
    assert adopted.made_again == (Cordon(NodeId(0), is_cordoned=True),)
    assert one.version == Version(2, 0)
    assert other.on_said(one.say()) is not None
    assert one.cluster == other.cluster
    assert all(node.cordoned for node in one.cluster.node)


def test_a_change_that_became_impossible_is_given_up_and_said() -> None:
    one, other = (MembershipHistory(cluster_of(2), NodeId(n)) for n in range(2))
    for history, number in ((one, 5), (other, 6)):
        node = NodeConfig(number=number, name="same", address="127.0.0.1", port=9000 + number)
        history.commit(Add(node), history.propose(Add(node)))
    adopted = one.on_said(other.say())
    assert adopted is not None
    ((change, reason),) = adopted.given_up
    assert isinstance(change, Add)
    assert "node 3: name" in reason or "node 4: name" in reason
    assert one.cluster == other.cluster


def test_members_that_break_a_rule_here_are_refused() -> None:
    history = MembershipHistory(cluster_of(2), NodeId(0))
    twice = replace(cluster_of(2).node[1], number=7)
    said = Said(Version(9, 1), (), (*cluster_of(2).node, twice))
    with pytest.raises(ChangeRefused, match="node 3: name"):
        history.on_said(said)
    assert history.cluster == cluster_of(2)


def test_two_sides_with_many_changes_come_to_rest() -> None:
    """More changes on either side than a membership has ancestors."""
    one, other = (MembershipHistory(cluster_of(4), NodeId(n)) for n in range(2))
    for history in (one, other):
        for place in range(3 * ANCESTORS_MAX + 1):
            change = Cordon(NodeId(2 + history._local), is_cordoned=not place % 2)
            history.commit(change, history.propose(change))
    assert settle([one, other]) <= 3
    assert one.cluster == other.cluster
    assert [node.cordoned for node in one.cluster.node] == [False, False, True, True]
