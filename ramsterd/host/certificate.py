"""This node's certificate while the daemon runs: replaced by a reload, and its end announced."""

import logging
import time
from collections.abc import Callable
from typing import Final

import trio

from config.event_kinds import EventKind, about
from net.certificates import Credentials
from net.tls import TlsTransport
from ramsterd.host.loop_clock import sleep_to_turn
from ramsterd.host.validity import Validity, format_validity, judge_validity

logger = logging.getLogger("ramster.certificate")

# How often is looked whether the end is near or over, and how often what lasts is said again.
LOOK_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 86_400.0


def wall_clock() -> float:
    """Return seconds since 1970: dates in certificates are wall clock."""
    return time.time()  # noqa: TID251  not a timer of ours


class CertificateKeeper:
    """Holds the transport whose credentials are replaced, and watches their end."""

    def __init__(self, transport: TlsTransport, *, clock: Callable[[], float] = wall_clock) -> None:
        self.transport = transport
        self._clock = clock
        self._said = Validity.GOOD

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
        self._said = self._judge()
        match self._said:
            case Validity.ENDED:
                logger.error(
                    "no new links: the certificate of this node has expired; renew it with `ramsterctl cluster renew`",
                    extra=about(EventKind.CERTIFICATE_EXPIRED),
                )
            case Validity.ENDING:
                logger.warning(
                    "the certificate of this node %s: renew it with `ramsterctl cluster renew`",
                    self._validity(),
                    extra=about(EventKind.CERTIFICATE_EXPIRING),
                )
            case Validity.GOOD:
                pass

    def _judge(self) -> Validity:
        return judge_validity(self.seconds_left())

    def _validity(self) -> str:
        return format_validity(self.transport.credentials.expires_at, at=self._clock())

    async def watch(self) -> None:
        """Warn when the end is near, when it has come, and once a day from then on, until cancelled."""
        again_at = float("-inf")
        while True:
            if self._judge() is not self._said or trio.current_time() >= again_at:
                self.warn()
                again_at = trio.current_time() + AGAIN_SECONDS
            await sleep_to_turn(LOOK_SECONDS)
