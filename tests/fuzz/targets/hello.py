"""Any payload is a HELLO that says the same when it is encoded and parsed again, or RemoteProtocolError; a judgement is one line."""

import random
from collections.abc import Mapping

from net.errors import RemoteProtocolError
from net.frame import REASON_BYTES_MAX
from net.hello import Hello, encode_reason, judge_hello, parse_reason
from nodemanager.ids import NodeId
from nodemanager.incarnations import ATTACH_COUNT_MAX
from tests.fuzz.repairing import change_field
from tests.fuzz.target import Target
from tests.helpers.links import make_hello

OURS = make_hello(1)
MEMBERS = frozenset({NodeId(1), NodeId(2), NodeId(3)})


def check(data: bytes) -> set[str]:
    return check_hello(data) | check_reason(data)


def check_hello(data: bytes) -> set[str]:
    try:
        theirs = Hello.parse(data)
    except RemoteProtocolError as error:
        assert str(error).isprintable(), "it stands in a log"
        return {"no hello"}
    assert Hello.parse(theirs.encode()) == theirs
    outcomes = {"hello"}
    for expected in (None, NodeId(2)):
        reason = judge_hello(OURS, theirs, members=MEMBERS, expected=expected)
        if reason is None:
            outcomes.add("accepted")
            continue
        assert reason.isprintable(), "it stands in two logs"
        assert parse_reason(encode_reason(reason)) == reason
        outcomes.add(reason.split(maxsplit=1)[0])
    return outcomes


def check_reason(data: bytes) -> set[str]:
    try:
        reason = parse_reason(data)
    except RemoteProtocolError:
        return {"no reason"}
    assert reason.isprintable()
    assert len(encode_reason(reason)) <= REASON_BYTES_MAX
    return {"reason"}


def seeds() -> Mapping[str, bytes]:
    hello = make_hello(2)
    return {
        "accepted": hello.encode(),
        "own-number": make_hello(1).encode(),
        "stranger": make_hello(9).encode(),
        "lower-number": make_hello(0).encode(),
        "other-answered": make_hello(3).encode(),
        "other-cluster": make_hello(2, cluster="pod").encode(),
        "other-version": make_hello(2, protocol_version=2).encode(),
        "other-timers": hello.encode().replace(b"\xcb\x40\x3e", b"\xcb\x40\x3d"),
        "other-unit": make_hello(2, unit_bytes=8192).encode(),
        "no-codec-in-common": make_hello(2, codecs=("zstd", "brotli")).encode(),
        "newer": b"\x9a" + hello.encode()[1:] + b"\xa5later",
        "attached": make_hello(2, attach_count=ATTACH_COUNT_MAX).encode(),
        "without-attach-count": b"\x98" + hello.encode()[1:-2],
        "without-features": b"\x99" + hello.encode()[1:-1],
        "reason": encode_reason("node number 9 is not a member"),
        "odd-reason": encode_reason("\n\u2028\0"),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    return change_field(data, rng) if rng.random() < 0.5 else data


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        [
            "hello",
            "no hello",
            "accepted",
            "reason",
            "no reason",
            "node",
            "protocol",
            "cluster",
            "timer",
            "unit",
            "no",
        ]
    ),
    repair=repair,
    bytes_max=512,
    tokens=(b"\x99", b"lab", b"lz4", b"zstd", b"\xcb\x7f\xf0", b"\xdc\x04\x00"),
)
