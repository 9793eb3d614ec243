"""The accept loop of every front end, and whom it turns away.

Clients decide how often this runs.  So it yields after each client, waits a moment when the system
gives no more descriptors or memory.  How many lines the log says of that is bounded where all are
(`logs.limiter`).
"""

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

import trio

from ramsterd.endpoints.descriptors import Descriptors

# How long accepting pauses when file descriptors or memory run out.
ACCEPT_PAUSE_SECONDS: Final = 0.1
# Lines of the log in a minute: they hardly differ.
FEW_LINES: Final = {"lines_max": 6}
OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def no_words(_: str, /) -> bytes:
    """Tell a client nothing: its protocol has no place for it."""
    return b""


class Acceptor:
    """Accepts the clients of one front end."""

    def __init__(
        self,
        clients: str,
        *,
        logger: logging.Logger,
        descriptors: Descriptors,
        last_words: Callable[[str], bytes] = no_words,
    ) -> None:
        """Wire it.

        Args:
            clients: What the log calls them, such as "NBD client".
            logger: Where that is logged.
            descriptors: Which of them a client may have.
            last_words: Returns what a client is told that is refused for a reason.
        """
        self.refused_total = 0
        self._clients = clients
        self._logger = logger
        self._descriptors = descriptors
        self._last_words = last_words

    async def run(self, listener: socket.socket, take: Callable[[socket.socket], None]) -> NoReturn:
        """Accept until cancelled.

        `take` becomes the owner of each socket, and may hand it to `refuse`.
        """
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                problem = errno.EAGAIN
            except OSError as error:
                # Whatever else: a client that gave up while it was queued (ECONNABORTED) is no
                # reason to wait.
                problem = error.errno or 0
                if problem in OUT_OF_RESOURCES:
                    self._logger.warning(
                        "can't accept any %s: %s; next attempt in %g s",
                        self._clients, error.strerror, ACCEPT_PAUSE_SECONDS, extra=FEW_LINES,
                    )  # fmt: skip
            else:
                problem = 0
                sock.setblocking(False)
                if self._descriptors.is_reserved(sock.fileno()):
                    self.refuse(sock, self._reserved_reason())
                else:
                    take(sock)
            if problem == errno.EAGAIN:
                await trio.lowlevel.wait_readable(listener)
            elif problem in OUT_OF_RESOURCES:
                await trio.sleep(ACCEPT_PAUSE_SECONDS)
            else:
                await trio.lowlevel.checkpoint()

    def refuse(self, sock: socket.socket, reason: str, last_words: bytes | None = None) -> None:
        """Turn a client away: it is told why, if its protocol has words for that, and closed."""
        self.refused_total += 1
        with sock, suppress(OSError):
            sock.send(self._last_words(reason) if last_words is None else last_words)
        self._logger.warning("%s refused: %s", self._clients, reason, extra=FEW_LINES)

    def _reserved_reason(self) -> str:
        some = self._descriptors
        return (
            f"all {some.clients_max} file descriptors for clients are in use (of {some.limit}; the others are for links"
            " and control): raise LimitNOFILE= in the unit, or ulimit -n"
        )
