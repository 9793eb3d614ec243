"""What the attach helper does next: one device, one export, and a connection that may end.

Pure.  The shell dials, hands connections to the kernel and tells what came of it; this says what
then.

Two things end a connection: the server (its socket closes), and the kernel (it marks the socket
dead and tells a multicast group).  The kernel takes a new socket only in the place of a dead one,
and says nothing when it takes none.  So what it may use is offered again whenever there is news and
every PROBE_SECONDS: a socket that it has already is offered in vain.  Then no news that is lost,
late or about an older socket can leave a device without a connection.

A server that comes back may have another disk under the name.  Only an offer that agrees with the
first in all that the server tells (name, size, flags) is handed over; requests wait meanwhile, and
fail when the kernel's timeout is over.
"""

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from net.backoff import Backoff
from ramsterd.client.nbd_handshake import Offer
from ramsterd.frontends.nbd.protocol import TransmissionFlag

PROBE_SECONDS: Final = 10.0
# One line at once when the reason changes, else one in this time.
REPEAT_SECONDS: Final = 60.0


class State(enum.Enum):
    """Where the attachment stands."""

    ATTACHING = "attaching"
    ATTACHED = "attached"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.ATTACHING: frozenset({State.ATTACHED, State.ENDED}),
    State.ATTACHED: frozenset({State.RECONNECTING, State.ENDED}),
    State.RECONNECTING: frozenset({State.ATTACHED, State.ENDED}),
    State.ENDED: frozenset(),
}
assert set(TRANSITIONS) == set(State)


class Level(enum.IntEnum):
    """How much a line matters, as syslog(3) numbers it."""

    ERROR = 3
    WARNING = 4
    INFO = 6


class Trouble(enum.Enum):
    """Why there is no connection."""

    UNREACHABLE = "nobody answers"
    REFUSED = "the server does not give this export, or another one"


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to the server and shake hands; `on_offer` or `on_failed` is told."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the connection to the kernel; the device is made first if it `is_new`.

    `on_handed_over` is told.
    """

    is_new: bool


@dataclass(frozen=True, slots=True)
class LetGo:
    """Let the kernel take back what is in flight on the dead connection."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection."""


@dataclass(frozen=True, slots=True)
class Detach:
    """End the device."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The device can be used: tell the service manager."""


@dataclass(frozen=True, slots=True)
class Say:
    """Write a line."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """End the helper with this exit status."""

    status: int


Effect: TypeAlias = Dial | HandOver | LetGo | HangUp | Detach | Ready | Say | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to attach where, as an operator names it."""

    device: str
    export: str
    server: str
    dead_connection_seconds: float


@dataclass(slots=True)
class _Outage:
    """From the end of a connection to the next one."""

    since: float
    retry_at: float = 0.0
    trouble: Trouble | None = None
    reason: str = ""
    said_at: float = 0.0
    has_said_over: bool = False


@dataclass(slots=True)
class Attachment:
    """The state of one attachment.

    `size_of_device` is given when the device is attached already, by a helper that has ended: then
    it is taken over.
    """

    plan: Plan
    backoff: Backoff
    size_of_device: int | None = None
    state: State = State.ATTACHING
    _offer: Offer | None = None
    _outage: _Outage | None = None
    _probe_at: float = 0.0

    def begin(self) -> list[Effect]:
        """Return what comes first."""
        return [Dial()]

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` is due."""
        match self.state:
            case State.ATTACHED:
                return self._probe_at
            case State.RECONNECTING:
                assert self._outage is not None
                return self._outage.retry_at
            case State.ATTACHING | State.ENDED:
                return None

    def on_offer(self, offer: Offer, *, now: float) -> list[Effect]:
        """Take what a server says of the export."""
        if self.state is State.ATTACHING:
            if offer.size < (self.size_of_device or 0):
                changed = f"it has {offer.size} bytes, and the device has {self.size_of_device}"
                return [HangUp(), *self.on_failed(Trouble.REFUSED, changed, now=now)]
            self._offer = offer
            return [HandOver(is_new=self.size_of_device is None)]
        if self.state is not State.RECONNECTING:
            return [HangUp()]
        assert self._offer is not None
        if changed := difference(self._offer, offer):
            return [HangUp(), *self.on_failed(Trouble.REFUSED, changed, now=now)]
        return [HandOver(is_new=False)]

    def on_handed_over(self, *, now: float) -> list[Effect]:
        """The kernel has the connection, or had one that works."""
        plan, offer = self.plan, self._offer
        self._probe_at = now + PROBE_SECONDS
        if self.state is State.ATTACHED or offer is None:
            return []
        outage, self._outage = self._outage, None
        self.backoff.reset()
        self._enter(State.ATTACHED)
        if outage is not None:
            seconds = now - outage.since
            text = f"{plan.device}: connected to {plan.server} again after {seconds:.1f} s"
            return [Say(Level.INFO, text)]
        how = "attached" if self.size_of_device is None else "taken over: it was attached before,"
        text = f"{plan.device}: {how} to export {plan.export} of {plan.server}, {offer.size} bytes"
        return [Say(Level.INFO, text), Ready()]

    def on_failed(self, trouble: Trouble, reason: str, *, now: float) -> list[Effect]:
        """A try to connect came to nothing."""
        plan = self.plan
        if self.state is State.ATTACHING:
            text = f"{plan.device}: can't attach export {plan.export} of {plan.server}: {reason}"
            return [Say(Level.ERROR, text), *self._end(1)]
        outage = self._outage
        if self.state is not State.RECONNECTING or outage is None:
            return []
        outage.retry_at = now + self.backoff.next_seconds()
        is_news = reason != outage.reason or now - outage.said_at >= REPEAT_SECONDS
        outage.trouble, outage.reason = trouble, reason
        effects: list[Effect] = []
        if is_news:
            outage.said_at = now
            left = max(0.0, outage.since + plan.dead_connection_seconds - now)
            waiting = f"requests wait for {left:.0f} s more" if left else "requests fail"
            text = f"{plan.device}: no connection to export {plan.export} of {plan.server}: {reason}; {waiting}"
            effects.append(Say(Level.WARNING, text))
        return effects + self._judge_timeouts(now)

    def on_closed(self, *, now: float) -> list[Effect]:
        """The connection has ended, at either side."""
        if self.state is not State.ATTACHED:
            return []
        self._enter(State.RECONNECTING)
        seconds = self.plan.dead_connection_seconds
        self._outage = _Outage(since=now, retry_at=now + self.backoff.next_seconds())
        text = f"{self.plan.device}: the connection to {self.plan.server} ended; requests wait for at most {seconds:g} s"
        return [LetGo(), HangUp(), Say(Level.WARNING, text), Dial()]

    def on_news(self) -> list[Effect]:
        """The kernel says that a connection of the device is dead, or its news were lost."""
        return [HandOver(is_new=False)] if self.state is State.ATTACHED else []

    def on_gone(self) -> list[Effect]:
        """Somebody else detached the device."""
        if self.state not in {State.ATTACHED, State.RECONNECTING}:
            return []
        text = f"{self.plan.device}: another program detached it"
        return [Say(Level.WARNING, text), *self._end(0)]

    def on_kernel_refused(self, reason: str) -> list[Effect]:
        """The kernel does not take the connection: no later one would fare better."""
        text = f"{self.plan.device}: {reason}"
        return [HangUp(), Say(Level.ERROR, text), *self._end(1)]

    def on_stop(self, users: list[str]) -> list[Effect]:
        """End in order: without the device, unless somebody uses it."""
        if self.state is State.ENDED:
            return []
        if self.state is State.ATTACHING:
            return self._end(0)
        device = self.plan.device
        if users:
            text = (
                f"{device}: stays attached without a helper: it is used by {', '.join(users)}."
                f" Start the helper again soon: until then nobody connects it again"
            )
            return [Say(Level.WARNING, text), *self._end(0)]
        return [Detach(), HangUp(), Say(Level.INFO, f"{device}: detached"), *self._end(0)]

    def on_deadline(self, *, now: float) -> list[Effect]:
        """Do what is due."""
        if self.state is State.ATTACHED and now >= self._probe_at:
            self._probe_at = now + PROBE_SECONDS
            return [HandOver(is_new=False)]
        outage = self._outage
        if self.state is State.RECONNECTING and outage is not None and now >= outage.retry_at:
            # `on_failed` says when next; this stands if the shell is slower than that.
            outage.retry_at = now + PROBE_SECONDS
            return [Dial()]
        return []

    def _judge_timeouts(self, now: float) -> list[Effect]:
        """Say once that requests fail, and end if the server's answer is no: that is for a person."""
        outage, plan = self._outage, self.plan
        assert outage is not None
        if outage.has_said_over or now - outage.since < plan.dead_connection_seconds:
            return []
        outage.has_said_over = True
        text = f"{plan.device}: no connection for {plan.dead_connection_seconds:g} s: its requests fail with I/O errors"
        effects: list[Effect] = [Say(Level.ERROR, text)]
        return effects + (self._end(1) if outage.trouble is Trouble.REFUSED else [])

    def _end(self, status: int) -> list[Effect]:
        self._enter(State.ENDED)
        return [End(status)]

    def _enter(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state


def difference(before: Offer, now: Offer) -> str:
    """Return in words how the export is another one than the device was made of.

    Empty: it may be the same.

    One that has grown, or whose server can do more after an upgrade, is no other.
    """
    changes: list[str] = []
    if now.name != before.name:
        changes.append(f"its name was {before.name!r} and is {now.name!r}")
    if now.size < before.size:
        changes.append(f"it had {before.size} bytes and has {now.size}")
    for flag in TransmissionFlag:
        # A device that may write must go on to; one that may only read must not be another's
        # writable disk.
        if flag is TransmissionFlag.READ_ONLY:
            if (now.flags ^ before.flags) & flag:
                kinds = ("writable", "read-only")
                changes.append(
                    f"it was {kinds[bool(before.flags & flag)]} and is {kinds[bool(now.flags & flag)]}"
                )
        elif before.flags & ~now.flags & flag:
            changes.append(f"it can't do {flag.name} any more")
    return f"it is another export than before: {', '.join(changes)}" if changes else ""
