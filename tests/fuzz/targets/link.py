"""A connection fed any frames, cut anyhow, opens once at most, ends once at most, and each request ends exactly once."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from net.connection import (
    Closed,
    Connection,
    ConnectionLimits,
    Contested,
    Effect,
    Opened,
    Outdated,
    RequestsFailed,
    Send,
    State,
)
from net.errors import RemoteProtocolError
from net.frame import LINK_LIMITS, FrameDecoder, LinkType
from net.hello import Hello, encode_reason, encode_reject, judge_hello
from net.judgement import Accepted, Judgement, Refused, Undecided
from net.link import Link
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import INCARNATION_MAX
from tests.fuzz.repairing import change_field, repair_frames
from tests.fuzz.target import Target, pieces
from tests.helpers.links import ASK, LIMITS, make_frame, make_hello

BOUNDS = ConnectionLimits(keepalive_seconds=2.0, idle_seconds=30.0, requests_in_flight_max=4)
MEMBERS = frozenset({NodeId(1), NodeId(2)})
# Bits of the second byte: who dials; whether time passes, before HELLO and after it.
DIALS, GREETS_SLOWLY, SPEAKS_SLOWLY = 1, 2, 4
# Who accepts has a link to them already, which is probed; and what comes of that.
IS_CONTESTED, PRESENT_ENDS = 8, 16


class Story:
    """One link from its start to its end, told by bytes; the shell is `net.peerlink` without its stream."""

    def __init__(self, *, is_dialer: bool, is_contested: bool) -> None:
        # The higher number dials.
        ours, theirs = (2, 1) if is_dialer else (1, 2)
        self.now = 0.0
        self.ends: Counter[int] = Counter()
        self.outcomes: set[str] = set()
        self._decoder = FrameDecoder({})
        self._hello = make_hello(ours)
        self._expected = NodeId(theirs) if is_dialer else None
        self._is_contested = is_contested and not is_dialer
        self.connection = Connection(
            self._hello, is_dialer=is_dialer, judge=self._judge, limits=BOUNDS, now=0.0
        )
        self._perform(self.connection.start())

    def _judge(self, theirs: Hello, doubt: Undecided | None) -> Judgement:
        reason = judge_hello(self._hello, theirs, members=MEMBERS, expected=self._expected)
        if reason is not None:
            return Refused(reason)
        if self._is_contested and doubt is None:
            return Undecided(cast("Link", None), 0, until=self.now + 1.0)
        return Accepted()

    @property
    def is_over(self) -> bool:
        return self.connection.state is State.CLOSED

    def receive(self, data: bytes) -> None:
        """Take what one receive brought."""
        self._decoder.space()[: len(data)] = data
        self._decoder.on_received(len(data))
        self.connection.on_received(now=self.now)
        frames = self._decoder.frames()
        try:
            while self.connection.state in {State.GREETING, State.CONTESTED}:
                if (greeting := next(frames, None)) is None:
                    return
                self._perform(self.connection.on_greeting(greeting))
            if self.connection.state is State.OPEN:
                passed, effects = self.connection.on_frames(frames)
                for each in passed:
                    if each.is_reply:
                        self._end(each.request_id)
                    self.outcomes.add("answered" if each.is_reply else "asked")
                self._perform(effects)
        except RemoteProtocolError as error:
            self.outcomes.add("broke the protocol")
            self._perform(self.connection.on_broken(str(error)))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if not self.is_over:
            self._perform(self.connection.on_deadline(now=self.now))

    def close(self) -> None:
        """End the link as a lost stream does, if it has not ended."""
        if not self.is_over:
            self._perform(self.connection.on_lost("cut"))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            assert "closed" not in self.outcomes, "Closed is the last effect of an incarnation"
            match effect:
                case Contested():
                    assert not {"opened", "contested"} & self.outcomes
                    self.outcomes.add("contested")
                case Opened():
                    assert "opened" not in self.outcomes
                    self.outcomes.add("opened")
                    self._decoder.allow(LIMITS)
                    for request_id in range(1, 5):
                        self.connection.begin_request(request_id, self.now + request_id)
                case Outdated(newest):
                    assert 0 < newest <= INCARNATION_MAX
                    self.outcomes.add("outdated")
                case RequestsFailed(failures):
                    assert failures
                    for request_id, failure in failures:
                        self._end(request_id)
                        self.outcomes.add(failure.value)
                case Send(frame_type, payload):
                    # A peer of ours must take it.
                    assert len(payload) <= LINK_LIMITS[frame_type].table_bytes_max
                    self.outcomes.add(f"says {frame_type.name}")
                case Closed(reason):
                    assert reason.isprintable(), "it stands in a log"
                    self.outcomes |= {"closed", reason.split(":")[0]}
        self.connection.check_invariants()

    def _end(self, request_id: int) -> None:
        self.ends[request_id] += 1
        assert self.ends[request_id] == 1, "a request ended twice"


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut; of the second see the bits above."""
    rule, bits = [*data[:2], 0, 0][:2]
    story = Story(is_dialer=bool(bits & DIALS), is_contested=bool(bits & IS_CONTESTED))
    rng = random.Random(bits)
    for piece in pieces(data[2:], rule):
        for start in range(0, len(piece), 1024):
            if story.is_over:
                break
            story.receive(piece[start : start + 1024])
            if bits & (SPEAKS_SLOWLY if "opened" in story.outcomes else GREETS_SLOWLY):
                story.wait(rng.choice((0.1, 0.9, 2.0)))
    if bits & PRESENT_ENDS:
        story.connection.on_present_ended(now=story.now)
        story.wait(0.0)
    story.close()
    if "opened" in story.outcomes:
        assert story.ends == {1: 1, 2: 1, 3: 1, 4: 1}, "a request that nothing ended"
    return story.outcomes


def seeds() -> Mapping[str, bytes]:
    def hello(number: int) -> bytes:
        return make_frame(LinkType.HELLO, table=make_hello(number).encode())

    answers = b"".join(
        make_frame(ASK, 1, b"t", b"b", request_id=i, is_reply=True) for i in (2, 1, 2)
    )
    ask = make_frame(ASK, 1, b"t", b"b", request_id=9)
    alive = make_frame(LinkType.KEEPALIVE)
    bye = make_frame(LinkType.GOODBYE, table=encode_reason("stop"))
    reject = make_frame(LinkType.REJECT, table=encode_reason("not you"))
    outdated = make_frame(LinkType.REJECT, table=encode_reject("earlier", Incarnation(1 << 41)))
    return {
        "accepts": b"\x02\x00" + hello(2) + alive + ask + answers + bye,
        "dials": b"\x00\x01" + hello(1) + answers + ask + alive,
        "slow": b"\x01\x04" + hello(2) + alive * 3 + answers + ask,
        "rejected": b"\x01\x01" + reject,
        "outdated": b"\x01\x01" + outdated,
        "outdated-late": b"\x01\x00" + hello(2) + outdated,
        "rejected-late": b"\x01\x00" + hello(2) + reject,
        "refused": b"\x01\x00" + hello(7),
        "two-hellos": b"\x04\x00" + hello(2) * 2,
        "probed": b"\x01\x00" + hello(2) + make_frame(LinkType.PROBE) * 2,
        "contested": b"\x01\x0a" + hello(2) + alive,
        "contested-and-won": b"\x00\x1a" + hello(2),
        "silent": b"\x01\x02" + hello(2)[:30],
        "early": b"\x00\x00" + alive,
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Put the right HELLO first, and change fields of what has fields."""
    bits = data[1] if len(data) > 1 else 0
    stream = repair_frames(data[2:], {**LINK_LIMITS, **LIMITS}, partial(_repair_parts, rng))
    if rng.random() < 0.5 and stream[3:4] != bytes([LinkType.HELLO]):
        number = 1 if bits & DIALS else 2
        stream = make_frame(LinkType.HELLO, table=make_hello(number).encode()) + stream
    return data[:2] + stream


def _repair_parts(
    rng: random.Random, frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
) -> tuple[int, bytes, bytes]:
    if frame_type in {LinkType.HELLO, LinkType.REJECT} and rng.random() < 0.2:
        table = change_field(table, rng)[: LINK_LIMITS[LinkType(frame_type)].table_bytes_max]
    return count, table, body


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        [
            "opened", "closed", "answered", "asked", "broke the protocol", "closed by the peer", "refused",
            "the peer refused this node", "cut", "the link was lost", "no answer in time", "says KEEPALIVE", "says REJECT",
            "says HELLO", "contested", "outdated", "no HELLO within 5 s",
        ]
    ),
    repair=repair,
    bytes_max=2048,
)  # fmt: skip
