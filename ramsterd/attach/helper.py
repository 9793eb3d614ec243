"""The attach helper: waits for what may happen to one attachment, and does what `Attachment` says.

A shell.  It waits for four things at once: the connection's end (its socket is ours too), the
kernel's news, a stop, and the clock.  Nothing in it may wait for others without a bound: while it
stands still, requests of the disk wait.  So a dial has a limit, and a line that nobody reads is
dropped.

It is meant for a process of its own that has locked its memory: it may be all that stands between a
full memory and the disk that empties it.
"""

import contextlib
import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ramsterd.attach.attachment import (
    Attachment,
    Detach,
    Dial,
    Effect,
    End,
    HandOver,
    HangUp,
    LetGo,
    Level,
    Ready,
    Say,
    Trouble,
)
from ramsterd.attach.devices import Devices
from ramsterd.attach.dialing import Refused, Unreachable
from ramsterd.attach.kernel import KernelRefused, KernelSilent, NbdKernel
from ramsterd.attach.nbd_family import Disk
from ramsterd.attach.words import why_refused
from ramsterd.client.nbd_handshake import Offer
from ramsterd.host.logs.texts import is_journal, printable
from ramsterd.host.sd_notify import Notifier, watchdog_seconds_from

# How often it looks around when nothing happens and no watchdog asks for more.
IDLE_SECONDS_MAX: Final = 5.0
BLOCK_BYTES: Final = 4096
LINE_BYTES_MAX: Final = 2048


class Dialler(Protocol):
    """How the helper comes to a connection."""

    def dial(self, export: str) -> tuple[socket.socket, Offer]:
        """Return a connection that is in transmission, and what it leads to.

        Raises Unreachable or Refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the kernel waits, in seconds.

    `dead_connection`: requests without a connection.  `request`: one without an answer, before its
    connection is given up; 0 is for ever.  `resend`: what was in flight on a dead connection,
    before it is sent again on the new one.
    """

    dead_connection: int
    request: int
    resend: float


class Helper:
    """One attachment at work.  `run` returns the exit status.

    `stop` may be called by a signal handler.
    """

    def __init__(
        self,
        attachment: Attachment,
        kernel: NbdKernel,
        devices: Devices,
        server: Dialler,
        say: Callable[[Level, str], None],
        *,
        index: int,
        identifier: str,
        timeouts: Timeouts,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._attachment = attachment
        self._kernel = kernel
        self._devices = devices
        self._server = server
        self._say = say
        self._index = index
        self._identifier = identifier
        self._timeouts = timeouts
        self._clock = clock
        self._notifier = Notifier(environ)
        self._connection: socket.socket | None = None
        self._size = 0
        self._flags = 0
        self._has_no_resend = False
        self._is_stopping = False
        self._status: int | None = None
        self._woken, self._waker = socket.socketpair()
        for each in self._woken, self._waker:
            each.setblocking(False)
        watchdog = watchdog_seconds_from(environ)
        self._idle_seconds = min(IDLE_SECONDS_MAX, watchdog / 2) if watchdog else IDLE_SECONDS_MAX

    def stop(self) -> None:
        """End in order, soon."""
        self._is_stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def run(self) -> int:
        """Attach, and stay until the end; return the exit status."""
        try:
            self.begin()
            while self._status is None:
                self.step()
            return self._status
        finally:
            self.close()

    @property
    def status(self) -> int | None:
        """The exit status, None while there is work to do."""
        return self._status

    def begin(self) -> None:
        """Attach, or fail to; `step` follows."""
        self._perform(self._attachment.begin())

    def close(self) -> None:
        """Give back what is open.  The device, and the kernel's part of the connection, stay."""
        self._hang_up()
        self._woken.close()
        self._waker.close()
        self._notifier.close()

    def step(self) -> None:
        """Wait for the next thing to happen, and deal with all that did."""
        self._notifier.watchdog()
        ready = self._wait()
        if self._is_stopping:
            self._notifier.stopping()
            self._perform(self._attachment.on_stop(self._devices.users(self._index)))
            return
        if self._connection is not None and self._connection.fileno() in ready:
            self._on_closed()
        if self._kernel.news.fileno() in ready:
            dead = self._kernel.take_news()
            if dead is None or self._index in dead:
                self._perform(self._attachment.on_news())
        self._on_time()

    def _wait(self) -> set[int]:
        """Return the descriptors that have something to say, after a while at most."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._kernel.news, select.POLLIN)
        if self._connection is not None:
            # Only its end: what arrives on it is the kernel's.
            poll.register(self._connection, select.POLLRDHUP)
        deadline = self._attachment.next_deadline()
        seconds = self._idle_seconds
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - self._clock()))
        return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}

    def _on_closed(self) -> None:
        if self._is_gone():
            self._perform(self._attachment.on_gone())
        else:
            self._perform(self._attachment.on_closed(now=self._clock()))

    def _on_time(self) -> None:
        now = self._clock()
        deadline = self._attachment.next_deadline()
        if deadline is None or now < deadline:
            return
        if self._is_gone():
            self._perform(self._attachment.on_gone())
        else:
            self._perform(self._attachment.on_deadline(now=now))

    def _is_gone(self) -> bool:
        """Return whether the device is no more; in doubt it is still there."""
        try:
            return not self._kernel.is_configured(self._index)
        except (KernelSilent, KernelRefused):
            return False

    def _perform(self, effects: list[Effect]) -> None:
        """Do what is to be done, and what follows from that."""
        waiting = deque(effects)
        while waiting:
            match waiting.popleft():
                case Dial():
                    waiting.extend(self._dial())
                case HandOver(is_new):
                    waiting.extend(self._hand_over(is_new=is_new))
                case LetGo():
                    self._let_go()
                case HangUp():
                    self._hang_up()
                case Detach():
                    self._detach()
                case Ready():
                    self._notifier.ready()
                case Say(level, text):
                    self._say(level, text)
                    self._notifier.status(text)
                case End(status):
                    self._status = status

    def _dial(self) -> list[Effect]:
        try:
            connection, offer = self._server.dial(self._attachment.plan.export)
        except Unreachable as error:
            return self._attachment.on_failed(Trouble.UNREACHABLE, str(error), now=self._clock())
        except Refused as error:
            return self._attachment.on_failed(Trouble.REFUSED, str(error), now=self._clock())
        self._hang_up()
        self._connection = connection
        if not self._size:
            self._size, self._flags = offer.size, offer.flags
        return self._attachment.on_offer(offer, now=self._clock())

    def _hand_over(self, *, is_new: bool) -> list[Effect]:
        connection = self._connection
        if connection is None:
            return []
        order = self._kernel.connect if is_new else self._kernel.reconfigure
        device = self._attachment.plan.device
        try:
            order(self._index, connection.fileno(), self._disk())
        except KernelRefused as error:
            if not is_new and error.errno == errno.EINVAL and self._is_gone():
                return self._attachment.on_gone()
            attached_to = self._devices.identifier(self._index)
            reason = why_refused(error.errno, device=device, identifier=attached_to)
            return self._attachment.on_kernel_refused(reason)
        except KernelSilent as error:
            if is_new:
                return self._attachment.on_kernel_refused(f"the kernel is silent: {error}")
            # It may have taken the connection or not; the next offer finds out.
            self._say(Level.WARNING, f"{device}: the kernel is silent: {error}")
        self._set_resend()
        return self._attachment.on_handed_over(now=self._clock())

    def _disk(self) -> Disk:
        return Disk(
            size=self._size,
            block_bytes=BLOCK_BYTES,
            server_flags=self._flags,
            dead_connection_seconds=self._timeouts.dead_connection,
            request_seconds=self._timeouts.request,
            identifier=self._identifier,
        )

    def _let_go(self) -> None:
        try:
            self._kernel.let_go(self._index, self._disk())
        except (KernelRefused, KernelSilent) as error:
            text = f"{self._attachment.plan.device}: requests in flight wait for a connection without end: {error}"
            self._say(Level.WARNING, text)

    def _set_resend(self) -> None:
        """Set it after each order that names the timer of requests, which puts it to 30 s."""
        if self._timeouts.request or self._has_no_resend:
            return
        try:
            self._devices.set_resend_seconds(self._index, self._timeouts.resend)
        except OSError as error:
            self._has_no_resend = True
            text = f"{self._attachment.plan.device}: requests in flight are sent again after 30 s, not {self._timeouts.resend:g} s: {error}"
            self._say(Level.WARNING, text)

    def _detach(self) -> None:
        try:
            self._kernel.disconnect(self._index)
        except (KernelRefused, KernelSilent) as error:
            self._say(Level.ERROR, f"{self._attachment.plan.device}: not detached: {error}")

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Console:
    """Writes lines to standard error, as the journal wants them if it reads.

    What nobody reads is dropped.
    """

    def __init__(self, descriptor: int, environ: Mapping[str, str]) -> None:
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._is_journal = is_journal(environ, device=status.st_dev, inode=status.st_ino)

    def say(self, level: Level, text: str) -> None:
        """Write one line, if that does not wait."""
        prefix = f"<{int(level)}>" if self._is_journal else f"{level.name.lower()}: "
        line = f"{prefix}{printable(text)}".encode()[:LINE_BYTES_MAX] + b"\n"
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if poll.poll(0):
            with contextlib.suppress(OSError):
                os.write(self._descriptor, line)
