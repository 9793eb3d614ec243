"""The dialling side of a link: the rule who dials, and the loop that dials again."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import trio

from config.event_kinds import EventKind, about
from net.backoff import RECONNECT_SECONDS_MAX, Backoff
from net.connection import HELLO_SECONDS_MAX
from net.errors import PeerLost
from net.transport import Stream, Transport
from nodemanager.ids import NodeId

log = logging.getLogger("ramster.net")

# A SYN that nobody answers would otherwise occupy the dialler for minutes.
DIAL_SECONDS_MAX: Final = 5.0
# A link that lasted this long was good: the next try is soon.  Shorter ones keep the delays
# growing.
STAYED_SECONDS_MIN: Final = 10.0
assert HELLO_SECONDS_MAX < STAYED_SECONDS_MIN, "a greeting that only timed out is no good link"
assert RECONNECT_SECONDS_MAX <= STAYED_SECONDS_MIN

Address = tuple[str, int]


class Over(NamedTuple):
    """The reason why there is no link (any more), and whether the log has it: a link that was open says how it ended."""

    reason: str
    is_said: bool = False


class RedialTimer:
    """The pauses between two tries to link with one peer: ever longer ones, and a short one once it has started."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._sleeping: trio.CancelScope | None = None

    def on_stayed(self) -> None:
        """A link was good."""
        self._backoff.reset()

    def next_seconds(self) -> float:
        """Return how long the pause after this try is."""
        return self._backoff.next_seconds()

    async def sleep(self, seconds: float) -> None:
        """Sleep for so long, or until some time after `hasten`."""
        with trio.move_on_after(seconds) as self._sleeping:
            await trio.sleep_forever()
        self._sleeping = None

    def hasten(self) -> None:
        """The peer has just started: what went wrong with its last process says nothing of this one."""
        self._backoff.reset()
        if self._sleeping is not None:
            soon = trio.current_time() + self._backoff.next_seconds()
            self._sleeping.deadline = min(self._sleeping.deadline, soon)


def is_dialer(ours: NodeId, theirs: NodeId) -> bool:
    """Return whether we dial them: the higher number dials, so that a pair has one link."""
    return ours > theirs


async def dial_forever(
    name: str,
    transport: Transport,
    address: Callable[[], Address | None],
    run: Callable[[Stream], Awaitable[Over]],
    timer: RedialTimer,
    *,
    on_no_link: Callable[[str], None],
    wait_wanted: Callable[[], Awaitable[None]],
) -> None:
    """Keep a link to the node `name`: dial, `run` it until another is wanted, wait, again.

    `run` takes the stream over and returns why the link is over, or no better than that, and
    `on_no_link` is told so each time; `wait_wanted` returns when there is no good link, however it
    came to be.
    """
    told = ""
    while True:
        await wait_wanted()
        began_at = trio.current_time()
        reason, is_said = await dial_once(transport, address(), run)
        stayed_seconds = trio.current_time() - began_at
        if stayed_seconds >= STAYED_SECONDS_MIN:
            timer.on_stayed()
        # A peer that stays away would fill the log with one sentence.
        level = logging.DEBUG if is_said or reason == told else logging.WARNING
        told = reason
        on_no_link(reason)
        pause_seconds = timer.next_seconds()
        log.log(
            level, "node %s: no link: %s; next attempt in %.1f s", name, reason, pause_seconds,
            extra=about(EventKind.LINK_FAILED, node=name),
        )  # fmt: skip
        await timer.sleep(pause_seconds)


async def dial_once(
    transport: Transport, address: Address | None, run: Callable[[Stream], Awaitable[Over]]
) -> Over:
    """Dial and run one link; return why it is over, or no good, or never came to be."""
    if address is None:
        return Over("not a member any more")
    stream: Stream | None = None
    with trio.move_on_after(DIAL_SECONDS_MAX):
        try:
            stream = await transport.dial(*address)
        except PeerLost as lost:
            return Over(str(lost))
    if stream is None:
        return Over(
            f"no connection to {address[0]} port {address[1]} within {DIAL_SECONDS_MAX:g} s"
        )
    return await run(stream)
