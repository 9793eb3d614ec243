from dataclasses import replace

import pytest

from config.model import TimersConfig
from net.errors import RemoteProtocolError
from net.frame import LINK_LIMITS, REASON_BYTES_MAX, LinkType
from net.hello import (
    CODEC_BYTES_MAX,
    CODECS_MAX,
    UNIT_BYTES_MAX,
    Hello,
    encode_reason,
    encode_reject,
    judge_hello,
    parse_reason,
    parse_reject,
)
from net.packing import pack_fields, unpack
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import ATTACH_COUNT_MAX, INCARNATION_MAX
from tests.helpers.links import make_hello

MEMBERS = [NodeId(1), NodeId(2), NodeId(3)]


def test_a_hello_comes_out_as_it_went_in() -> None:
    assert Hello.parse(make_hello().encode()) == make_hello()


def test_the_largest_hello_fits_its_frame() -> None:
    largest = make_hello(
        1023,
        cluster="c" * 63,
        name="n" * 63,
        incarnation=INCARNATION_MAX,
        attach_count=ATTACH_COUNT_MAX,
        unit_bytes=UNIT_BYTES_MAX,
        codecs=tuple(f"{i}".rjust(CODEC_BYTES_MAX, "c") for i in range(CODECS_MAX)),
    )
    assert Hello.parse(largest.encode()) == largest
    assert len(largest.encode()) <= LINK_LIMITS[LinkType.HELLO].table_bytes_max


def test_whole_seconds_from_a_config_file_are_sent_as_seconds() -> None:
    timers = TimersConfig(keepalive_seconds=3)
    assert Hello.parse(make_hello(timers=timers).encode()).timers == timers


def test_fields_and_timers_of_a_newer_node_are_ignored() -> None:
    fields = unpack(make_hello().encode())
    assert isinstance(fields, list)
    *before, timers, attach_count, features = fields
    newer = [*before, [*timers, 7.0], attach_count, features, "new"]
    assert Hello.parse(pack_fields(newer)) == make_hello()


def test_features_are_said_and_an_older_node_has_none() -> None:
    fields = unpack(make_hello(features=5).encode())
    assert isinstance(fields, list)
    assert Hello.parse(pack_fields(fields)).features == 5
    assert Hello.parse(pack_fields(fields[:9])).features == 0


@pytest.mark.parametrize(
    ("place", "value", "phrase"),
    [
        (0, 0, "protocol version 0"),
        (0, 256, "protocol version 256"),
        (1, "", "cluster name of 0 bytes"),
        (1, "c" * 64, "cluster name of 64 bytes, not 1 to 63"),
        (1, "a\nb", "cluster name is not printable"),
        (2, -1, "node number -1"),
        (2, 1024, "node number 1024, not 0 to 1023"),
        (2, True, "field 2 is bool, expected int"),
        (3, "\x1b[31m", "node name is not printable"),
        (4, -1, "incarnation -1"),
        (5, 0, "unit bytes 0"),
        (9, -1, "features -1, not 0 to 4294967295"),
        (9, 1 << 32, "features 4294967296"),
        (9, True, "features that are bool, expected int"),
        (5, UNIT_BYTES_MAX + 1, "unit bytes"),
        (6, ["c"] * (CODECS_MAX + 1), "9 codecs, at most 8"),
        (6, [1], "codec name is not printable text"),
        (6, ["c" * (CODEC_BYTES_MAX + 1)], "codec name of 17 bytes"),
        (7, [1.0] * 3, "3 timers, expected 4"),
        (7, [1.0, 2.0, 3.0, float("nan")], "probe_timeout_seconds is not"),
        (7, [float("inf"), 2.0, 3.0, 4.0], "keepalive_seconds is not"),
        (7, [1.0, 0.0, 3.0, 4.0], "idle_seconds is not"),
        (7, [1.0, 2.0, 3, 4.0], "probe_seconds is not"),
        (8, -1, "attach count -1"),
        (8, ATTACH_COUNT_MAX + 1, "attach count 16777216, not 0 to 16777215"),
    ],
)
def test_a_field_out_of_range_is_refused(place: int, value: object, phrase: str) -> None:
    fields = unpack(make_hello().encode())
    assert isinstance(fields, list)
    fields[place] = value
    with pytest.raises(RemoteProtocolError, match=phrase):
        Hello.parse(pack_fields(fields))


def judge(theirs: Hello, expected: int | None = None) -> str | None:
    node = None if expected is None else NodeId(expected)
    return judge_hello(make_hello(2), theirs, members=MEMBERS, expected=node)


def test_a_member_that_agrees_is_accepted_on_both_sides() -> None:
    assert judge(make_hello(3)) is None
    assert judge(make_hello(1), expected=1) is None


@pytest.mark.parametrize(
    ("theirs", "expected", "reason"),
    [
        (make_hello(3, protocol_version=2), None, "protocol version 2, ours is 1"),
        (make_hello(3, cluster="other"), None, "cluster 'other', ours is 'lab'"),
        (make_hello(2), None, "node number 2 is our own"),
        (make_hello(9), None, "node number 9 is not a member"),
        (make_hello(1), None, "node 1 dialled node 2; the higher number dials"),
        (make_hello(3), 1, "node number 3 answered where node 1 was dialled"),
        (make_hello(3, unit_bytes=8192), None, "unit of 8192 bytes, ours has 4096"),
        (make_hello(3, codecs=("zstd",)), None, "no codec in common"),
        (
            make_hello(3, timers=TimersConfig(idle_seconds=31)),
            None,
            "timer idle_seconds is 31, ours is 30",
        ),
        (
            make_hello(3, timers=replace(TimersConfig(), probe_seconds=7.5)),
            None,
            "timer probe_seconds is 7.5, ours is 1",
        ),
    ],
)
def test_each_mismatch_is_named_with_both_values(
    theirs: Hello, expected: int | None, reason: str
) -> None:
    found = judge(theirs, expected)
    assert found is not None
    assert reason in found


def test_a_reason_comes_out_as_it_went_in_or_cut() -> None:
    assert parse_reason(encode_reason("because")) == "because"
    long = encode_reason("ü" * REASON_BYTES_MAX)
    assert len(long) <= REASON_BYTES_MAX
    assert set(parse_reason(long)) == {"ü"}


def test_a_reason_cannot_forge_log_lines() -> None:
    assert parse_reason(pack_fields(["a\nb"])) == r"'a\nb'"


def test_a_reject_says_which_incarnation_is_known_where_that_is_the_reason() -> None:
    assert parse_reject(encode_reject("no", None)) == ("no", None)
    assert parse_reject(encode_reject("earlier", Incarnation(7))) == ("earlier", 7)
    # A reader that does not know the second field sees the reason.
    assert parse_reason(encode_reject("earlier", Incarnation(7))) == "earlier"
    longest = encode_reject("x" * 5000, Incarnation(INCARNATION_MAX))
    assert len(longest) <= LINK_LIMITS[LinkType.REJECT].table_bytes_max
    assert parse_reject(longest)[1] == INCARNATION_MAX
    assert parse_reject(pack_fields(["later", 7, "more"])) == ("later", 7)


@pytest.mark.parametrize("newest", [0, -1, 1 << 64, "7", 7.0, True, None, [7]])
def test_a_reject_with_an_impossible_incarnation_breaks_the_protocol(newest: object) -> None:
    try:
        table = pack_fields(["no", newest])
    except OverflowError:
        return  # msgpack has no such number
    with pytest.raises(RemoteProtocolError):
        parse_reject(table)
