"""Connect to an NBD server and shake hands, within a bound: over a Unix socket or TCP.

A shell.  Addresses are numbers, never names: a resolver may need the very memory that waits for
this connection.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.endpoint import split_endpoint
from ramsterd.client.nbd_handshake import Channel, ExportRefused, NbdError, Offer, shake_hands

# For the connection, and once more for the handshake.  systemd's watchdog is longer.
DIAL_SECONDS_MAX: Final = 5.0
# A TCP connection whose other side is gone without a FIN ends within this time.
SILENCE_SECONDS_MAX: Final = 30
KEEPALIVE_SECONDS: Final = 10


class Unreachable(Exception):
    """There is no connection to be had; the message says why."""


class Refused(Exception):
    """The server answers, and does not give the export; the message has its words."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where an NBD server listens: a path, or `ADDRESS:PORT`."""

    text: str

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ValueError: It is neither, with what was expected.
        """
        if not self.text.startswith("/"):
            split_endpoint(self.text)

    def dial(self, export: str) -> tuple[socket.socket, Offer]:
        """Return a connection that is in transmission, and what it leads to.

        Raises Unreachable or Refused.
        """
        sock: socket.socket | None = None
        try:
            sock = self._connect()
            offer = shake_hands(Channel(sock, seconds_max=DIAL_SECONDS_MAX), export)
            # The kernel reads and writes it from now on, and waits as long as it likes.
            sock.settimeout(None)
        except BaseException as error:
            if sock is not None:
                sock.close()
            match error:
                case ExportRefused():
                    raise Refused(error.reason) from error
                case NbdError():
                    raise Unreachable(str(error)) from error
                case OSError():
                    raise Unreachable(error.strerror or str(error)) from error
                case _:
                    raise
        return sock, offer

    def _connect(self) -> socket.socket:
        if self.text.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            address: str | tuple[str, int] = str(Path(self.text))
        else:
            address = split_endpoint(self.text)
            sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
            # Ends it when what was sent, a keepalive too, has no answer for so long.
            milliseconds = 1000 * SILENCE_SECONDS_MAX
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        try:
            sock.settimeout(DIAL_SECONDS_MAX)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock
