"""systemd's file descriptor store: what outlives this process (sd_pid_notify_with_fds(3), sd_listen_fds(3)).

The manager keeps a descriptor from `store` on, whatever becomes of us, and hands it to the next
process of the unit.  It does not answer.  `wait_handled` returns when it has handled all that was
sent; whether it kept something depends on `FileDescriptorStoreMax=` of the unit.  All of this
blocks, within bounds, and is for the start of a process.
"""

import os
import re
import select
import socket
from collections.abc import Mapping
from typing import Final

from ramsterd.host.sd_notify import address_from

# Where the descriptors of a start begin (sd_listen_fds(3)).
LISTEN_FDS_START: Final = 3
# As the manager bounds it.
_NAME: Final = re.compile(r"[\x21-\x39\x3b-\x7e]{1,255}")
# Of a descriptor that is stored to see whether it is kept, and given up again.
_PROBE_NAME: Final = "ramster-probe"
# A manager that is busy for longer than this is not one that a daemon can wait for.
ANSWER_SECONDS_MAX: Final = 10.0


class DescriptorStore:
    """Hands descriptors to the service manager."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the environment, once, here."""
        self._address = address_from(environ)
        offered = environ.get("FDSTORE", "")
        # How many the unit may store, where the manager says so (systemd 254).
        self.descriptors_max = int(offered) if re.fullmatch(r"[0-9]{1,9}", offered) else None

    @property
    def has_manager(self) -> bool:
        """Whether there is somebody to hand descriptors to."""
        return self._address is not None

    def store(self, name: str, fd: int) -> None:
        """Have a descriptor kept under a name; nothing of ours needs to stay open for it.

        Raises:
            OSError: The manager does not take it.
        """
        assert _NAME.fullmatch(name)
        # Not watched for hangups: memory has none.
        self._send(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fd)

    def remove(self, name: str) -> None:
        """Have all descriptors of a name given up.

        Raises:
            OSError: The manager does not take that.
        """
        assert _NAME.fullmatch(name)
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def wait_handled(self) -> None:
        """Return when the manager has handled all that was sent before.

        Raises:
            OSError: It did not within `ANSWER_SECONDS_MAX`, or there is none.
        """
        ours, its = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._send("BARRIER=1", its)
            finally:
                os.close(its)
            if not _is_closed(ours, seconds_max=ANSWER_SECONDS_MAX):
                raise TimeoutError(f"the service manager is silent for {ANSWER_SECONDS_MAX:g} s")
        finally:
            os.close(ours)

    def has_room(self) -> bool:
        """Return whether the manager would keep one descriptor more, which it is handed and gives up again.

        It closes what it does not keep without a word, and says how many it keeps only since
        systemd 254.

        Raises:
            OSError: It does not answer.
        """
        ours, its = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self.store(_PROBE_NAME, its)
            finally:
                os.close(its)
            self.wait_handled()
            is_kept = not _is_closed(ours, seconds_max=0)
            self.remove(_PROBE_NAME)
        finally:
            os.close(ours)
        return is_kept

    def _send(self, state: str, *fds: int) -> None:
        if self._address is None:
            raise OSError("there is no service manager")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(ANSWER_SECONDS_MAX)
            sender.connect(self._address)
            socket.send_fds(sender, [state.encode()], list(fds))


def _is_closed(pipe: int, *, seconds_max: float) -> bool:
    """Return whether nobody has the other end of a pipe any more."""
    poll = select.poll()
    poll.register(pipe, 0)  # POLLHUP is told of in any case
    return bool(poll.poll(seconds_max * 1000))


def descriptors_from(
    environ: Mapping[str, str], *, first: int = LISTEN_FDS_START
) -> list[tuple[str, int]]:
    """Return (name, descriptor) of all that this process was started with.

    Children inherit none of them.

    Sockets that the unit listens on are among them, and those that an earlier process stored.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    text = environ.get("LISTEN_FDS", "")
    count = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if len(names) != count:
        names = [""] * count
    found = list(zip(names, range(first, first + count), strict=True))
    for _, fd in found:
        os.set_inheritable(fd, False)
    return found
