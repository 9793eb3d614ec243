"""The first message on a link: who we are and what must agree.  Pure: parse, encode, judge."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Final, cast

from config.limits import NAME_BYTES_MAX, NODE_NUMBER_MAX
from config.model import TimersConfig
from net.errors import RemoteProtocolError
from net.frame import LINK_LIMITS, PROTOCOL_VERSION, REASON_BYTES_MAX, LinkType
from net.packing import check_fields, pack_fields, unpack, unpack_fields
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import ATTACH_COUNT_MAX, INCARNATION_MAX

CODECS_MAX: Final = 8
CODEC_BYTES_MAX: Final = 16
UNIT_BYTES_MAX: Final = 1 << 20
# A day: no timer of ours is near, and it keeps infinity and NaN out.
TIMER_SECONDS_MAX: Final = 86_400.0

# Behind the fields that every node has.
FEATURES_FIELD: Final = 9
FEATURES_MAX: Final = 0xFFFF_FFFF

# The order on the wire, append only.  All of them are of protocol version 1.
TIMERS: Final = (
    "keepalive_seconds",
    "idle_seconds",
    "probe_seconds",
    "probe_timeout_seconds",
)
assert set(TIMERS) == {field.name for field in fields(TimersConfig)}, "a new timer must be compared"
# Two names, codecs, four timers and seven integers, each with its msgpack type byte or bytes.
assert (
    2 * (NAME_BYTES_MAX + 2) + CODECS_MAX * (CODEC_BYTES_MAX + 1) + len(TIMERS) * 9 + 7 * 9 + 3
    <= LINK_LIMITS[LinkType.HELLO].table_bytes_max
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The greeting of one side: its node, its cluster and its settings.

    A parsed one has passed every check that needs no second side.
    """

    cluster: str
    number: NodeId
    name: str
    incarnation: Incarnation
    # How many bytes the unit has that the application moves; opaque here.
    unit_bytes: int
    # What the sender can read, in the order it prefers.
    codecs: tuple[str, ...]
    timers: TimersConfig
    # How often this incarnation went on with the memory of a process that ended; 0: it began with
    # none.
    attach_count: int = 0
    # What its application understands beyond the first version, a bit each; opaque here.
    features: int = 0
    protocol_version: int = PROTOCOL_VERSION

    @property
    def process(self) -> tuple[Incarnation, int]:
        """Which one says so, of all processes that this node ever ran: the later one is the greater."""
        return self.incarnation, self.attach_count

    def encode(self) -> bytes:
        """Return the table of a HELLO frame."""
        return pack_fields(
            [
                self.protocol_version,
                self.cluster,
                self.number,
                self.name,
                self.incarnation,
                self.unit_bytes,
                list(self.codecs),
                [float(getattr(self.timers, timer)) for timer in TIMERS],
                self.attach_count,
                self.features,
            ]
        )

    @classmethod
    def parse(cls, payload: bytes | bytearray | memoryview) -> "Hello":
        """Return the message.

        Raises:
            RemoteProtocolError: It is no HELLO, or a field is out of its range.
        """
        fields = unpack(payload)
        version, cluster, number, name, incarnation, unit_bytes, codecs, timers, attaches = cast(
            "tuple[int, str, int, str, int, int, list[object], list[object], int]",
            check_fields(fields, (int, str, int, str, int, int, list, list, int)),
        )
        check_range("protocol version", version, 1, 0xFF)
        check_range("node number", number, 0, NODE_NUMBER_MAX)
        check_range("incarnation", incarnation, 0, INCARNATION_MAX)
        check_range("attach count", attaches, 0, ATTACH_COUNT_MAX)
        check_range("unit bytes", unit_bytes, 1, UNIT_BYTES_MAX)
        return cls(
            protocol_version=version,
            cluster=checked_name("cluster name", cluster, NAME_BYTES_MAX),
            number=NodeId(number),
            name=checked_name("node name", name, NAME_BYTES_MAX),
            incarnation=Incarnation(incarnation),
            unit_bytes=unit_bytes,
            codecs=parse_codecs(codecs),
            timers=parse_timers(timers),
            attach_count=attaches,
            features=parse_features(cast("list[object]", fields)),
        )


def check_range(what: str, found: int, least: int, most: int) -> None:
    """Raise RemoteProtocolError unless `least <= found <= most`."""
    if not least <= found <= most:
        raise RemoteProtocolError(f"{what} {found}, not {least} to {most}")


def checked_name(what: str, found: object, bytes_max: int) -> str:
    """Return a name that is safe to log: printable, not empty, not too long."""
    if not isinstance(found, str) or not found.isprintable():
        raise RemoteProtocolError(f"{what} is not printable text")
    if not 0 < len(found.encode()) <= bytes_max:
        raise RemoteProtocolError(f"{what} of {len(found.encode())} bytes, not 1 to {bytes_max}")
    return found


def parse_features(hello: list[object]) -> int:
    """Return the features of a HELLO; an older node says none."""
    if len(hello) <= FEATURES_FIELD:
        return 0
    features = hello[FEATURES_FIELD]
    if type(features) is not int:
        raise RemoteProtocolError(f"features that are {type(features).__name__}, expected int")
    check_range("features", features, 0, FEATURES_MAX)
    return features


def parse_codecs(found: list[object]) -> tuple[str, ...]:
    """Return the codec names."""
    if len(found) > CODECS_MAX:
        raise RemoteProtocolError(f"{len(found)} codecs, at most {CODECS_MAX}")
    return tuple(checked_name("codec name", codec, CODEC_BYTES_MAX) for codec in found)


def parse_timers(found: list[object]) -> TimersConfig:
    """Return the timers; those appended by a newer node are ignored."""
    if len(found) < len(TIMERS):
        raise RemoteProtocolError(f"{len(found)} timers, expected {len(TIMERS)}")
    known: dict[str, float] = {}
    for timer, seconds in zip(TIMERS, found, strict=False):
        if not isinstance(seconds, float) or not 0 < seconds <= TIMER_SECONDS_MAX:
            raise RemoteProtocolError(f"{timer} is not a number of seconds above 0")
        known[timer] = seconds
    return TimersConfig(**known)


def judge_hello(
    ours: Hello, theirs: Hello, *, members: Collection[NodeId], expected: NodeId | None
) -> str | None:
    """Return why a link to them is refused, or None.

    `expected` is the node that was dialled; None on the accepting side, where the caller is the
    node that it says it is (until links are authenticated) and must have the higher number.  The
    reason names both sides' values, because both sides log it.
    """
    checks = (
        _judge_cluster(ours, theirs),
        _judge_number(ours, theirs, members, expected),
        _judge_timers(ours.timers, theirs.timers),
        _judge_data(ours, theirs),
    )
    return next((reason for reason in checks if reason is not None), None)


def _judge_cluster(ours: Hello, theirs: Hello) -> str | None:
    if theirs.protocol_version != ours.protocol_version:
        return f"protocol version {theirs.protocol_version}, ours is {ours.protocol_version}"
    if theirs.cluster != ours.cluster:
        return f"cluster {theirs.cluster!r}, ours is {ours.cluster!r}"
    return None


def _judge_number(
    ours: Hello, theirs: Hello, members: Collection[NodeId], expected: NodeId | None
) -> str | None:
    if theirs.number == ours.number:
        return f"node number {theirs.number} is our own"
    if theirs.number not in members:
        return f"node number {theirs.number} is not a member"
    if expected is None:
        if theirs.number < ours.number:
            return f"node {theirs.number} dialled node {ours.number}; the higher number dials"
    elif theirs.number != expected:
        return f"node number {theirs.number} answered where node {expected} was dialled"
    return None


def _judge_timers(ours: TimersConfig, theirs: TimersConfig) -> str | None:
    for timer in TIMERS:
        our_seconds, their_seconds = getattr(ours, timer), getattr(theirs, timer)
        if our_seconds != their_seconds:
            return f"timer {timer} is {their_seconds:g}, ours is {our_seconds:g}"
    return None


def _judge_data(ours: Hello, theirs: Hello) -> str | None:
    if theirs.unit_bytes != ours.unit_bytes:
        return f"unit of {theirs.unit_bytes} bytes, ours has {ours.unit_bytes}"
    if not set(ours.codecs) & set(theirs.codecs):
        return f"no codec in common: theirs {list(theirs.codecs)}, ours {list(ours.codecs)}"
    return None


def encode_reason(reason: str) -> bytes:
    """Return the table of a GOODBYE frame, or of a REJECT that says nothing more, cut to its limit."""
    return pack_fields([shortened(reason)])


def encode_reject(reason: str, newest: Incarnation | None) -> bytes:
    """Return the table of a REJECT frame, cut to its limit.

    `newest`: what we know of them, if theirs is earlier.
    """
    return pack_fields([shortened(reason)] if newest is None else [shortened(reason), newest])


def shortened(reason: str) -> str:
    """Return as much of a reason as a frame has room for."""
    # Cutting may split a character; what is left of it goes.
    return reason.encode(errors="replace")[: REASON_BYTES_MAX - 16].decode(errors="ignore")


def parse_reason(payload: bytes | bytearray | memoryview) -> str:
    """Return a reason, safe to log.

    Raises:
        RemoteProtocolError: It is no reason.
    """
    (reason,) = cast("tuple[str]", unpack_fields(payload, (str,)))
    return reason if reason.isprintable() else repr(reason)


def parse_reject(payload: bytes | bytearray | memoryview) -> tuple[str, Incarnation | None]:
    """Return why they refuse us, safe to log, and the incarnation of ours that they know, if it is because of that.

    Raises:
        RemoteProtocolError: It is no reason, or the incarnation is out of its range.
    """
    reason = parse_reason(payload)
    fields = cast("list[object]", unpack(payload))
    if len(fields) == 1:
        return reason, None
    newest = fields[1]
    if type(newest) is not int:
        raise RemoteProtocolError(f"field 1 is {type(newest).__name__}, expected int")
    check_range("incarnation", newest, 1, INCARNATION_MAX)
    return reason, Incarnation(newest)
