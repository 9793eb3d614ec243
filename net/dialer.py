"""The dialling side of a link: the rule who dials, and the loop that dials again."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import trio

from config.event_kinds import EventKind, about
from config.lookup import NameNotFound
from net.backoff import RECONNECT_SECONDS_MAX, Backoff
from net.connection import HELLO_SECONDS_MAX
from net.errors import PeerLost
from net.moves import Address
from net.resolving import Resolve, as_written
from net.transport import Stream, Transport
from nodemanager.ids import NodeId

log = logging.getLogger("ramster.net")

# A SYN that nobody answers would otherwise occupy the dialler for minutes.  Several addresses share
# it.
DIAL_SECONDS_MAX: Final = 5.0
# A link that lasted this long was good: the next try is soon.  Shorter ones keep the delays
# growing.
STAYED_SECONDS_MIN: Final = 10.0
assert HELLO_SECONDS_MAX < STAYED_SECONDS_MIN, "a greeting that only timed out is no good link"
assert RECONNECT_SECONDS_MAX <= STAYED_SECONDS_MIN


class Over(NamedTuple):
    """The reason why there is no link (any more), and whether the log has it: a link that was open says how it ended."""

    reason: str
    is_said: bool = False


class RedialTimer:
    """The pauses between two tries to link with one peer: ever longer ones, and a short one once it has started."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._sleeping: trio.CancelScope | None = None
        self._link: trio.CancelScope | None = None

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

    @contextmanager
    def watching_link(self) -> Iterator[None]:
        """Be content with a link during the block, which a move ends."""
        with trio.CancelScope() as self._link:
            yield
        self._link = None

    def on_moved(self) -> None:
        """The peer is elsewhere: dial there soon, however good its link is."""
        if self._link is not None:
            self._link.cancel()
        self.hasten()


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
    on_no_link: Callable[[str], bool],
    wait_wanted: Callable[[], Awaitable[None]],
    resolve: Resolve = as_written,
) -> None:
    """Keep a link to the node `name`: dial, `run` it until another is wanted, wait, again.

    `run` takes the stream over and returns why the link is over, or no better than that, and
    `on_no_link` is told so each time, and returns whether the old link stays meanwhile;
    `wait_wanted` returns when there is no good link, however it came to be.
    """
    told = ""
    dialled = Dialled()
    while True:
        await wait_wanted()
        began_at = trio.current_time()
        reason, is_said = await dial_once(transport, address(), run, resolve, dialled)
        stayed_seconds = trio.current_time() - began_at
        if stayed_seconds >= STAYED_SECONDS_MIN:
            timer.on_stayed()
        # A peer that stays away would fill the log with one sentence.
        level = logging.DEBUG if is_said or reason == told else logging.WARNING
        told = reason
        has_old_link, pause_seconds = on_no_link(reason), timer.next_seconds()
        event = about(EventKind.LINK_FAILED, node=name)
        if has_old_link:
            log.log(
                level, "node %s: the old link stays: no link at the new address: %s; next attempt in %.1f s",
                name, reason, pause_seconds, extra=event,
            )  # fmt: skip
        else:
            log.log(
                level, "node %s: no link: %s; next attempt in %.1f s", name, reason, pause_seconds,
                extra=event,
            )  # fmt: skip
        await timer.sleep(pause_seconds)


class Dialled:
    """Which address of a host answered last: the next time it comes first."""

    def __init__(self) -> None:
        self._last = ""

    def in_order(self, found: Sequence[str]) -> list[str]:
        """Return addresses in the order in which to try them."""
        return sorted(found, key=lambda address: address != self._last)

    def on_answered(self, address: str) -> None:
        """A connection to it was made."""
        self._last = address


async def dial_once(
    transport: Transport,
    address: Address | None,
    run: Callable[[Stream], Awaitable[Over]],
    resolve: Resolve = as_written,
    dialled: Dialled | None = None,
) -> Over:
    """Dial and run one link; return why it is over, or no good, or never came to be."""
    if address is None:
        return Over("not a member any more")
    host, port = address
    try:
        found = await resolve(host)
    except NameNotFound as unknown:
        return Over(str(unknown))
    dialled = dialled or Dialled()
    reasons = []
    for each in dialled.in_order(found):
        stream = await _connect(transport, each, port, DIAL_SECONDS_MAX / len(found))
        if not isinstance(stream, str):
            dialled.on_answered(each)
            return await run(stream)
        reasons.append(stream)
    return Over("; ".join(reasons) if host in found else f"{host}: {'; '.join(reasons)}")


async def _connect(transport: Transport, address: str, port: int, seconds: float) -> Stream | str:
    """Return a connection, or why there is none."""
    stream: Stream | None = None
    with trio.move_on_after(seconds):
        try:
            stream = await transport.dial(address, port)
        except PeerLost as lost:
            return str(lost)
    if stream is None:
        return f"no connection to {address} port {port} within {seconds:.3g} s"
    return stream
