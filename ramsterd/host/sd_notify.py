"""Tell systemd how we are: the datagrams of sd_notify(3), without its library.

Where there is no systemd, NOTIFY_SOCKET is not set and everything here does nothing.
"""

import os
import re
import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to the service manager named by the environment; never blocks and never raises.

    The environment is read once, here, so that children started later can be given another.  So is
    the socket made: a daemon that is out of descriptors still works, and must be able to say so, or
    the watchdog ends it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = address_from(environ)
        self._sender = (
            None
            if self._address is None
            else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        )

    def close(self) -> None:
        """Say nothing more."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def ready(self) -> bool:
        """Say that we serve; units ordered after ours start now."""
        return self._send("READY=1")

    def watchdog(self) -> bool:
        """Say that we live; owed at least every `watchdog_seconds_from`."""
        return self._send("WATCHDOG=1")

    def reloading(self, *, now_nanoseconds: int) -> bool:
        """Say that this process becomes another program, which will be ready.

        `now` is CLOCK_MONOTONIC.
        """
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={now_nanoseconds // 1000}")

    def watch(self, *, seconds: float) -> bool:
        """Have the manager wait so long for a sign of life from now on.

        It must have a watchdog for us.
        """
        return self._send(f"WATCHDOG_USEC={round(seconds * 1_000_000)}")

    def stopping(self) -> bool:
        """Say that an orderly stop has begun."""
        return self._send("STOPPING=1")

    def status(self, text: str) -> bool:
        """Show one line in `systemctl status`."""
        return self._send("STATUS=" + " ".join(text.split()))

    def _send(self, state: str) -> bool:
        """Return whether the manager got the datagram."""
        if self._address is None or self._sender is None:
            return False
        try:
            self._sender.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError:  # nobody listens, or its queue is full: not worth a page
            return False
        return True


def watchdog_seconds_from(environ: Mapping[str, str]) -> float | None:
    """Return how long systemd waits for a sign of life before it kills us, or None: no watchdog.

    Beat at half of it (sd_watchdog_enabled(3)).  A watchdog meant for another process is none of
    ours.
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        return None
    return int(text) / 1_000_000 or None  # 0 is no watchdog


def address_from(environ: Mapping[str, str]) -> str | None:
    """Return the address of the service manager's socket, or None: there is none."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        return "\0" + address[1:]  # the abstract namespace (unix(7))
    return address if address.startswith("/") else None
