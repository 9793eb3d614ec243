"""One link as a pure machine: handshake, keepalive, request table, end.

The dialling side says HELLO at once; the accepting side judges it and answers HELLO or REJECT, so a refused
node never believes for a moment that it was accepted.  Then both sides send as they like.  A side that was
silent for `keepalive_seconds` says KEEPALIVE; any received byte counts as life, and `idle_seconds` without
one end the link.

Every request ends exactly once: its reply is passed on, or it is named in one `RequestsFailed`.  Whatever
ends the link, all requests under way fail in that same step.

The shell (`net.peerlink`) owns the bytes; this machine is told of received frames and of time, and returns
effects, in the order in which they must be performed.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from net.errors import LocalProtocolError, RemoteProtocolError
from net.frame import APPLICATION_TYPE_MIN, Frame, LinkType
from net.hello import Hello, encode_reason, parse_reason
from net.link import Failure
from net.requests import RequestTable

# How long a new connection may take to say and to be told HELLO.
HELLO_SECONDS_MAX: Final = 5.0
# More than PUTs and GETs of the largest windows together, late ones included (ramsterd.peers).
REQUESTS_IN_FLIGHT_MAX: Final = 4096


class State(enum.Enum):
    """Where a link is in its life."""

    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class Event(enum.Enum):
    """What moves a link on."""

    ACCEPTED = "both sides know who the other is"
    REFUSED = "we refuse them"
    REJECTED = "they refused us"
    GOODBYE = "one side leaves in order"
    BROKEN = "they broke the protocol"
    SILENT = "they said nothing for too long"
    LOST = "the stream broke or ended"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.GREETING: {
        Event.ACCEPTED: State.OPEN,
        Event.REFUSED: State.CLOSED,
        Event.REJECTED: State.CLOSED,
        Event.GOODBYE: State.CLOSED,
        Event.BROKEN: State.CLOSED,
        Event.SILENT: State.CLOSED,
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
class Opened:
    """The link is up; their frames of the application are welcome from the next one on."""

    theirs: Hello


@dataclass(frozen=True, slots=True)
class RequestsFailed:
    """These requests get no answer."""

    failures: tuple[tuple[int, Failure], ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The link is over; always the last effect of its life."""

    reason: str


Effect: TypeAlias = Send | Opened | RequestsFailed | Closed


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
    """The machine.  `judge` returns why their HELLO is refused, or None."""

    def __init__(
        self,
        ours: Hello,
        *,
        is_dialer: bool,
        judge: Callable[[Hello], str | None],
        limits: ConnectionLimits,
        now: float,
    ) -> None:
        self.state = State.GREETING
        self.late_replies_total = 0
        self.timeouts_total = 0
        self.frames_received_total = 0
        self._ours = ours
        self._is_dialer = is_dialer
        self._judge = judge
        self._limits = limits
        self._began_at = now
        self._received_at = now
        self._sent_at = now
        self._requests = RequestTable(in_flight_max=limits.requests_in_flight_max)

    @property
    def requests_in_flight(self) -> int:
        """How many requests wait for an answer."""
        return len(self._requests)

    # What came in

    def start(self) -> list[Effect]:
        """Return the first words: the dialling side's HELLO."""
        return [Send(LinkType.HELLO, self._ours.encode())] if self._is_dialer else []

    def on_received(self, *, now: float) -> None:
        """Bytes came: the peer lives."""
        self._received_at = now

    def on_sent(self, *, now: float) -> None:
        """Bytes went out: no KEEPALIVE is due for a while."""
        self._sent_at = now

    def on_greeting(self, frame: Frame) -> list[Effect]:
        """Handle one frame while GREETING.

        Raises:
            RemoteProtocolError: It is not what may come first; pass it to `on_broken`.
        """
        self.frames_received_total += 1
        check_link_frame(frame)
        match frame.type:
            case LinkType.HELLO:
                return self._on_hello(Hello.parse(frame.table))
            case LinkType.REJECT | LinkType.GOODBYE:
                return self._on_leave(frame)
            case _:
                raise RemoteProtocolError(f"frame type {frame.type} before HELLO")

    def _on_hello(self, theirs: Hello) -> list[Effect]:
        refusal = self._judge(theirs)
        if refusal is not None:
            reject = Send(LinkType.REJECT, encode_reason(refusal))
            return [reject, *self._close(Event.REFUSED, f"refused: {refusal}")]
        self._step(Event.ACCEPTED)
        answer: list[Effect] = (
            [] if self._is_dialer else [Send(LinkType.HELLO, self._ours.encode())]
        )
        return [*answer, Opened(theirs)]

    def on_frames(self, frames: Iterable[Frame]) -> tuple[list[Frame], list[Effect]]:
        """Sort what one receive brought while OPEN: the application's frames, and what else follows.

        A protocol error among the frames (the decoder raises it while we iterate) comes back as effects, so
        that the replies before it, whose requests are completed, still reach the application.
        """
        passed: list[Frame] = []
        complete = self._requests.complete
        received = 0
        effects: list[Effect] = []
        try:
            for frame in frames:
                received += 1
                if frame.type < APPLICATION_TYPE_MIN:
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
        return passed, effects

    def _on_link_frame(self, frame: Frame) -> list[Effect]:
        check_link_frame(frame)
        match frame.type:
            case LinkType.KEEPALIVE:
                return []
            case LinkType.REJECT | LinkType.GOODBYE:
                return self._on_leave(frame)
            case _:
                raise RemoteProtocolError("a second HELLO")

    def _on_leave(self, frame: Frame) -> list[Effect]:
        reason = parse_reason(frame.table)
        if frame.type == LinkType.GOODBYE:
            return self._close(Event.GOODBYE, f"they said goodbye: {reason}")
        return self._close(Event.REJECTED, f"they rejected us: {reason}")

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
            case State.OPEN:
                due = min(
                    self._sent_at + self._limits.keepalive_seconds,
                    self._received_at + self._limits.idle_seconds,
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
            case State.OPEN:
                return self._on_deadline_open(now)
            case State.CLOSED:
                return []

    def _on_deadline_open(self, now: float) -> list[Effect]:
        idle_seconds = self._limits.idle_seconds
        if now >= self._received_at + idle_seconds:
            return self._close(Event.SILENT, f"idle: not a byte for {idle_seconds:g} s")
        effects: list[Effect] = []
        expired = self._requests.expire(now=now)
        if expired:
            self.timeouts_total += len(expired)
            effects.append(RequestsFailed(tuple((one, Failure.TIMED_OUT) for one in expired)))
        if now >= self._sent_at + self._limits.keepalive_seconds:
            self._sent_at = now
            effects.append(Send(LinkType.KEEPALIVE))
        return effects

    # The end

    def on_lost(self, reason: str) -> list[Effect]:
        """The stream is gone, or we drop it without a word."""
        return self._close(Event.LOST, reason)

    def on_broken(self, reason: str) -> list[Effect]:
        """They broke the protocol: tell them, and end."""
        reject = Send(LinkType.REJECT, encode_reason(reason))
        return [reject, *self._close(Event.BROKEN, f"protocol error: {reason}")]

    def on_leaving(self, reason: str) -> list[Effect]:
        """We leave in order."""
        goodbye = Send(LinkType.GOODBYE, encode_reason(reason))
        return [goodbye, *self._close(Event.GOODBYE, reason)]

    def _close(self, event: Event, reason: str) -> list[Effect]:
        self._step(event)
        lost = tuple((request_id, Failure.LOST) for request_id in self._requests.take_all())
        return [RequestsFailed(lost), Closed(reason)] if lost else [Closed(reason)]

    def _step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    def check_invariants(self) -> None:
        """Assert what must hold between calls."""
        self._requests.check_invariants()
        if self.state is not State.OPEN:
            assert not self._requests, "a request that nothing would end"
        assert (self.next_deadline() is None) == (self.state is State.CLOSED)


def check_link_frame(frame: Frame) -> None:
    """Raise RemoteProtocolError if a frame of the link itself is marked as request or reply."""
    if frame.request_id or frame.is_reply:
        raise RemoteProtocolError(f"frame type {frame.type} with request id {frame.request_id}")
