"""This node's certificate while the daemon runs: replaced by a reload, and its end announced."""

import logging
import time
from collections.abc import Callable
from typing import Final

import trio

from config.event_kinds import EventKind, about
from net.certificates import Credentials
from net.tls import TlsTransport
from ramsterd.host.validity import WARN_SECONDS, format_validity

logger = logging.getLogger("ramster.certificate")

CHECK_SECONDS: Final = 86_400.0


def wall_clock() -> float:
    """Return seconds since 1970: dates in certificates are wall clock."""
    return time.time()  # noqa: TID251  not a timer of ours


class CertificateKeeper:
    """Holds the transport whose credentials are replaced, and watches their end."""

    def __init__(self, transport: TlsTransport, *, clock: Callable[[], float] = wall_clock) -> None:
        self.transport = transport
        self._clock = clock

    def seconds_left(self) -> float:
        """Return how long our certificate is valid yet; negative when it has ended."""
        return self.transport.credentials.expires_at - self._clock()

    def replace(self, loaded: Credentials) -> str:
        """Use these for links from now on.

        Return what is new, an empty text if they are the same.
        """
        is_new = loaded.digest != self.transport.credentials.digest
        self.transport.credentials = loaded
        text = ""
        if is_new:
            text = (
                f"the new certificate is loaded and {self._validity()}; open links keep the old one"
            )
            logger.info("%s", text, extra=about(EventKind.CERTIFICATE_RELOADED))
        self.warn()
        return text

    def warn(self) -> None:
        """Say in the log that the certificate ends soon, or has ended."""
        left = self.seconds_left()
        if left < 0:
            logger.error(
                "no new links: the certificate of this node has expired; renew it with `ramsterctl cluster renew`",
                extra=about(EventKind.CERTIFICATE_EXPIRED),
            )
        elif left < WARN_SECONDS:
            logger.warning(
                "the certificate of this node %s: renew it with `ramsterctl cluster renew`",
                self._validity(),
                extra=about(EventKind.CERTIFICATE_EXPIRING),
            )

    def _validity(self) -> str:
        return format_validity(self.transport.credentials.expires_at, at=self._clock())

    async def watch(self) -> None:
        """Warn once a day, until cancelled."""
        while True:
            self.warn()
            await trio.sleep(CHECK_SECONDS)
