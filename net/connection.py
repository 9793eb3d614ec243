"""One link as a pure machine: handshake, keepalive, request table, end.

The dialling side says HELLO at once; the accepting side judges it and answers HELLO or REJECT, so a
refused node never believes for a moment that it was accepted.  The answer may have to wait until
another link is probed (`net.judgement`).  Then both sides send as they like.  A side that was
silent for `keepalive_seconds` says KEEPALIVE, and at once when it is asked by PROBE; any received
byte proves that the peer is alive, and `idle_seconds` without one end the link.

Every request ends exactly once: its reply is passed on, or it is named in one `RequestsFailed`.
Whatever ends the link, all requests under way fail in that same step.

The shell (`net.peerlink`) owns the bytes; this machine is told of received frames and of time, and
returns effects, in the order in which they must be performed.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from net.errors import LocalProtocolError, RemoteProtocolError
from net.frame import APPLICATION_TYPE_MIN, Frame, LinkType
from net.hello import Hello, encode_reason, encode_reject, parse_reason, parse_reject
from net.judgement import PROBE_SECONDS, Accepted, Judgement, Refused, Undecided
from net.link import Failure, Link
from net.requests import RequestTable
from nodemanager.ids import Incarnation

# How long a new connection may take to say and to be told HELLO.
HELLO_SECONDS_MAX: Final = 5.0
# More than PUTs and GETs of the largest windows together, late ones included
# (ramsterd.pagepath.sending).
REQUESTS_IN_FLIGHT_MAX: Final = 4096
assert PROBE_SECONDS < HELLO_SECONDS_MAX, (
    "a dialling side that is contested still waits when that is decided"
)


class State(enum.Enum):
    """The state of a link."""

    GREETING = "greeting"
    CONTESTED = "contested"
    OPEN = "open"
    CLOSED = "closed"


class Event(enum.Enum):
    """Events that change the state of a link."""

    CONTESTED = "another link of theirs is probed first"
    ACCEPTED = "both sides know who the other is"
    REFUSED = "we refuse them"
    REJECTED = "they refused us"
    GOODBYE = "one side leaves in order"
    BROKEN = "they broke the protocol"
    SILENT = "they said nothing for too long"
    LOST = "the stream broke or ended"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.GREETING: {
        Event.CONTESTED: State.CONTESTED,
        Event.ACCEPTED: State.OPEN,
        Event.REFUSED: State.CLOSED,
        Event.REJECTED: State.CLOSED,
        Event.GOODBYE: State.CLOSED,
        Event.BROKEN: State.CLOSED,
        Event.SILENT: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.CONTESTED: {
        Event.CONTESTED: State.CONTESTED,
        Event.ACCEPTED: State.OPEN,
        Event.REFUSED: State.CLOSED,
        Event.REJECTED: State.CLOSED,
        Event.GOODBYE: State.CLOSED,
        Event.BROKEN: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.OPEN: {
        Event.REJECTED: State.CLOSED,
        Event.GOODBYE: State.CLOSED,
        Event.BROKEN: State.CLOSED,
        Event.SILENT: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: {},
}
assert set(TRANSITIONS) == set(State)


@dataclass(frozen=True, slots=True)
class Send:
    """Queue a frame of the link itself."""

    frame_type: LinkType
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Contested:
    """Probe the present link of the same node; tell us by `on_present_ended` if it ends."""

    present: Link


@dataclass(frozen=True, slots=True)
class Opened:
    """The link is up; their frames of the application are welcome from the next one on."""

    theirs: Hello


@dataclass(frozen=True, slots=True)
class Outdated:
    """They refuse us because they know this newer incarnation of ours."""

    newest: Incarnation


@dataclass(frozen=True, slots=True)
class RequestsFailed:
    """These requests get no answer."""

    failures: tuple[tuple[int, Failure], ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The link is over; always its last effect."""

    reason: str
    # One of the sides closed it on purpose; the reason says which.
    is_in_order: bool = False


Effect: TypeAlias = Send | Contested | Opened | Outdated | RequestsFailed | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Times and numbers that bound one link."""

    keepalive_seconds: float
    idle_seconds: float
    hello_seconds_max: float = HELLO_SECONDS_MAX
    requests_in_flight_max: int = REQUESTS_IN_FLIGHT_MAX

    def __post_init__(self) -> None:
        assert 0 < self.keepalive_seconds < self.idle_seconds, "keepalive must come before idle"


class Connection:
    """The machine.  `judge` says what becomes of their HELLO, given what it found before, if that was undecided."""

    def __init__(
        self,
        ours: Hello,
        *,
        is_dialer: bool,
        judge: Callable[[Hello, Undecided | None], Judgement],
        limits: ConnectionLimits,
        now: float,
    ) -> None:
        self.state = State.GREETING
        self.late_replies_total = 0
        self.timeouts_total = 0
        self.frames_received_total = 0
        self._ours = ours
        self.is_dialer = is_dialer
        self._judge = judge
        self._limits = limits
        self._began_at = now
        self.received_at = now
        self._sent_at = now
        # While CONTESTED: who they are, and on whom it depends.
        self._doubt: tuple[Hello, Undecided] | None = None
        self._requests = RequestTable(in_flight_max=limits.requests_in_flight_max)

    @property
    def our_name(self) -> str:
        """The name of this node."""
        return self._ours.name

    @property
    def is_greeting(self) -> bool:
        """Whether both sides still have to accept each other."""
        return self.state is State.GREETING or self.state is State.CONTESTED

    @property
    def requests_in_flight(self) -> int:
        """How many requests wait for an answer."""
        return len(self._requests)

    # What came in

    def start(self) -> list[Effect]:
        """Return the first words: the dialling side's HELLO."""
        return [Send(LinkType.HELLO, self._ours.encode())] if self.is_dialer else []

    def on_received(self, *, now: float) -> None:
        """Bytes came: the peer is alive."""
        self.received_at = now

    def on_sent(self, *, now: float) -> None:
        """Bytes went out: no KEEPALIVE is due for a while."""
        self._sent_at = now

    def on_greeting(self, frame: Frame) -> list[Effect]:
        """Handle one frame while GREETING or CONTESTED.

        Raises:
            RemoteProtocolError: It is not what may come first; pass it to `on_broken`.
        """
        self.frames_received_total += 1
        check_link_frame(frame)
        match frame.type:
            case LinkType.HELLO if self.state is State.GREETING:
                return self._decide(Hello.parse(frame.table), None)
            case LinkType.REJECT | LinkType.GOODBYE:
                return self._on_leave(frame)
            case _:
                raise RemoteProtocolError(f"frame type {frame.type} before both said HELLO")

    def _decide(self, theirs: Hello, doubt: Undecided | None) -> list[Effect]:
        match self._judge(theirs, doubt):
            case Refused(reason, newest):
                reject = Send(LinkType.REJECT, encode_reject(reason, newest))
                return [reject, *self._close(Event.REFUSED, f"refused: {reason}")]
            case Undecided() as doubt:
                self._step(Event.CONTESTED)
                self._doubt = theirs, doubt
                return [Contested(doubt.present)]
            case Accepted():
                self._step(Event.ACCEPTED)
                self._doubt = None
                hello = Send(LinkType.HELLO, self._ours.encode())
                return [Opened(theirs)] if self.is_dialer else [hello, Opened(theirs)]

    def on_present_ended(self, *, now: float) -> None:
        """The link on which it depended is over: `on_deadline` is due at once."""
        if self._doubt is not None:
            theirs, doubt = self._doubt
            self._doubt = theirs, replace(doubt, until=now)

    def on_frames(self, frames: Iterable[Frame]) -> tuple[list[Frame], list[Effect]]:
        """Sort what one receive brought while OPEN: the application's frames, and what else follows.

        A protocol error among the frames (the decoder raises it while we iterate) comes back as
        effects, so that the replies before it, whose requests are completed, still reach the
        application.
        """
        passed: list[Frame] = []
        complete = self._requests.complete
        received = 0
        effects: list[Effect] = []
        is_probed = False
        try:
            for frame in frames:
                received += 1
                if frame.type < APPLICATION_TYPE_MIN:
                    is_probed |= frame.type == LinkType.PROBE
                    effects = self._on_link_frame(frame)
                    if effects:
                        break
                elif frame.is_reply and not complete(frame.request_id):
                    self.late_replies_total += 1
                else:
                    passed.append(frame)
        except RemoteProtocolError as error:
            effects = self.on_broken(str(error))
        self.frames_received_total += received
        if is_probed and not effects:
            effects = [Send(LinkType.KEEPALIVE)]  # one for all that came together
        return passed, effects

    def _on_link_frame(self, frame: Frame) -> list[Effect]:
        check_link_frame(frame)
        match frame.type:
            case LinkType.KEEPALIVE | LinkType.PROBE:
                return []
            case LinkType.REJECT | LinkType.GOODBYE:
                return self._on_leave(frame)
            case _:
                raise RemoteProtocolError("a second HELLO")

    def _on_leave(self, frame: Frame) -> list[Effect]:
        if frame.type == LinkType.GOODBYE:
            reason = parse_reason(frame.table)
            return self._close(Event.GOODBYE, f"closed by the peer: {reason}")
        reason, newest = parse_reject(frame.table)
        closed = self._close(Event.REJECTED, f"the peer refused this node: {reason}")
        return closed if newest is None else [Outdated(newest), *closed]

    # Requests

    def begin_request(self, request_id: int, deadline: float) -> None:
        """Note a request that is being queued.

        Raises:
            LocalProtocolError: The link is not open, the id is in use, or the window is exceeded.
        """
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"a request on a link that is {self.state.value}")
        self._requests.begin(request_id, deadline)

    # Time

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` should be called; it only moves earlier by `begin_request`."""
        match self.state:
            case State.GREETING:
                return self._began_at + self._limits.hello_seconds_max
            case State.CONTESTED:
                assert self._doubt is not None
                return self._doubt[1].until
            case State.OPEN:
                due = min(
                    self._sent_at + self._limits.keepalive_seconds,
                    self.received_at + self._limits.idle_seconds,
                )
                request = self._requests.next_deadline()
                return due if request is None else min(due, request)
            case State.CLOSED:
                return None

    def on_deadline(self, *, now: float) -> list[Effect]:
        """Do what is due; nothing if it is early."""
        match self.state:
            case State.GREETING:
                seconds = self._limits.hello_seconds_max
                if now >= self._began_at + seconds:
                    return self._close(Event.SILENT, f"no HELLO within {seconds:g} s")
                return []
            case State.CONTESTED:
                assert self._doubt is not None
                return self._decide(*self._doubt) if now >= self._doubt[1].until else []
            case State.OPEN:
                return self._on_deadline_open(now)
            case State.CLOSED:
                return []

    def _on_deadline_open(self, now: float) -> list[Effect]:
        idle_seconds = self._limits.idle_seconds
        if now >= self.received_at + idle_seconds:
            return self._close(Event.SILENT, f"no data for {idle_seconds:g} s (idle_seconds)")
        effects: list[Effect] = []
        expired = self._requests.expire(now=now)
        if expired:
            self.timeouts_total += len(expired)
            effects.append(RequestsFailed(tuple((one, Failure.TIMED_OUT) for one in expired)))
        if now >= self._sent_at + self._limits.keepalive_seconds:
            self._sent_at = now
            effects.append(Send(LinkType.KEEPALIVE))
        return effects

    def ask(self) -> list[Effect]:
        """Ask for a sign of life."""
        return [Send(LinkType.PROBE)] if self.state is State.OPEN else []

    # The end

    def on_lost(self, reason: str) -> list[Effect]:
        """The stream is gone, or we drop it without a goodbye."""
        return self._close(Event.LOST, reason)

    def on_broken(self, reason: str) -> list[Effect]:
        """They broke the protocol: tell them, and end."""
        reject = Send(LinkType.REJECT, encode_reason(reason))
        return [reject, *self._close(Event.BROKEN, f"protocol error: {reason}")]

    def on_leaving(self, reason: str) -> list[Effect]:
        """We leave in order."""
        goodbye = Send(LinkType.GOODBYE, encode_reason(reason))
        return [goodbye, *self._close(Event.GOODBYE, f"closed by this node: {reason}")]

    def _close(self, event: Event, reason: str) -> list[Effect]:
        self._step(event)
        self._doubt = None
        lost = tuple((request_id, Failure.LOST) for request_id in self._requests.take_all())
        closed = Closed(reason, is_in_order=event is Event.GOODBYE)
        return [RequestsFailed(lost), closed] if lost else [closed]

    def _step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    def check_invariants(self) -> None:
        """Assert what must hold between calls."""
        self._requests.check_invariants()
        if self.state is not State.OPEN:
            assert not self._requests, "a request that nothing would end"
        assert (self.next_deadline() is None) == (self.state is State.CLOSED)
        assert (self._doubt is not None) == (self.state is State.CONTESTED)


def check_link_frame(frame: Frame) -> None:
    """Raise RemoteProtocolError if a frame of the link itself is marked as request or reply."""
    if frame.request_id or frame.is_reply:
        raise RemoteProtocolError(f"frame type {frame.type} with request id {frame.request_id}")
