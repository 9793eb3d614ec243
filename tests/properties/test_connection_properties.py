"""The connection machine under any story: every request ends exactly once."""

import dataclasses
from collections import Counter

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from net.connection import (
    Closed,
    Connection,
    Contested,
    Effect,
    Opened,
    Outdated,
    RequestsFailed,
    Send,
    State,
)
from net.errors import LocalProtocolError
from net.frame import FrameDecoder, LinkType
from tests.helpers.links import (
    ASK,
    CONNECTION_LIMITS,
    LIMITS,
    accept,
    decode_one,
    make_frame,
    make_hello,
)

BOUNDS = dataclasses.replace(CONNECTION_LIMITS, requests_in_flight_max=3)


class Story(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.connection = Connection(
            make_hello(1), is_dialer=False, judge=accept, limits=BOUNDS, now=0.0
        )
        self.connection.on_greeting(
            decode_one(make_frame(LinkType.HELLO, table=make_hello(2).encode()))
        )
        self.under_way: dict[int, float] = {}
        self.begun: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.closed_total = 0

    def is_open(self) -> bool:
        return self.connection.state is State.OPEN

    def end(self, request_id: int) -> None:
        assert request_id in self.under_way, "it ended twice, or never began"
        del self.under_way[request_id]
        self.ended[request_id] += 1

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert not self.closed_total, "Closed is the last effect"
            match effect:
                case RequestsFailed(failures):
                    assert failures, "an empty failure"
                    for request_id, _ in failures:
                        self.end(request_id)
                case Closed():
                    self.closed_total += 1
                case Send(frame_type):
                    assert frame_type is not LinkType.HELLO
                case Outdated():
                    raise AssertionError("nobody said so")
                case Opened() | Contested():
                    raise AssertionError("opened twice")

    @precondition(is_open)
    @rule(request_id=st.integers(1, 6), seconds=st.sampled_from([0.0, 0.5, 3.0, 60.0]))
    def begin(self, request_id: int, seconds: float) -> None:
        allowed = request_id not in self.under_way and len(self.under_way) < 3
        try:
            self.connection.begin_request(request_id, self.now + seconds)
        except LocalProtocolError:
            assert not allowed
        else:
            assert allowed
            self.under_way[request_id] = self.now + seconds
            self.begun[request_id] += 1

    @precondition(is_open)
    @rule(
        request_ids=st.lists(st.integers(1, 6), min_size=1, max_size=4),
        tail=st.sampled_from(
            [
                # Mostly nothing, or most stories would be short.
                *[b""] * 20,
                make_frame(LinkType.KEEPALIVE),
                make_frame(LinkType.PROBE),
                make_frame(LinkType.GOODBYE, table=b"\x91\xa1x"),
                make_frame(LinkType.REJECT, table=b"\x91\xa1x"),
                make_frame(LinkType.HELLO),
                make_frame(ASK)[:5] + b"\x01" + bytes(14),
            ]
        ),
    )
    def replies_come(self, request_ids: list[int], tail: bytes) -> None:
        late_before = self.connection.late_replies_total
        replies = [make_frame(ASK, request_id=i, is_reply=True) for i in request_ids]
        data = b"".join(replies) + tail
        decoder = FrameDecoder(LIMITS)
        decoder.space()[: len(data)] = data
        decoder.on_received(len(data))
        self.connection.on_received(now=self.now)
        passed, effects = self.connection.on_frames(decoder.frames())
        for frame in passed:
            self.end(frame.request_id)
        assert self.connection.late_replies_total - late_before == len(request_ids) - len(passed)
        self.perform(effects)

    @precondition(is_open)
    @rule()
    def something_comes(self) -> None:
        self.connection.on_received(now=self.now)

    @rule(seconds=st.sampled_from([0.1, 0.2, 0.5, 1.0, 2.0, 29.0]))
    def time_passes(self, seconds: float) -> None:
        """The shell never sleeps past a deadline by much: go from deadline to deadline."""
        until = self.now + seconds
        while (deadline := self.connection.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.perform(self.connection.on_deadline(now=self.now))
            later = self.connection.next_deadline()
            assert later is None or later > self.now, "the timer would spin"
        self.now = until

    @precondition(is_open)
    @rule(chance=st.integers(0, 9))
    def the_link_ends(self, chance: int) -> None:
        if chance == 8:
            self.perform(self.connection.on_lost("cut"))
        elif chance == 9:
            self.perform(self.connection.on_leaving("stop"))

    @invariant()
    def every_request_ends_exactly_once(self) -> None:
        assert self.connection.requests_in_flight == len(self.under_way)
        assert self.begun == self.ended + Counter(dict.fromkeys(self.under_way, 1))
        if not self.is_open():
            assert self.closed_total == 1
            assert not self.under_way

    @invariant()
    def no_deadline_is_forgotten(self) -> None:
        if self.under_way:
            due = self.connection.next_deadline()
            assert due is not None
            assert due <= min(self.under_way.values())

    @invariant()
    def the_machine_agrees_with_itself(self) -> None:
        self.connection.check_invariants()


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=60, stateful_step_count=40)
