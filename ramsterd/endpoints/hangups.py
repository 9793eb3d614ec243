"""Clients that are gone, told while nobody reads from their sockets.

A connection that waits for room or for a slow client does not read, so it would learn of the end of
its client only when it reads again; what it waits for would take effect long after the client has
gone.  One epoll for all sockets of a server asks for nothing but the end of the other side,
whatever lies unread before it.
"""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import trio

# The other side closed both ways, or the connection broke: nobody can take an answer.
_DEAD: Final = select.EPOLLHUP | select.EPOLLERR
# Edges: each end is told once, and once more when a client that had stopped sending is dead.
_ASKED: Final = select.EPOLLRDHUP | select.EPOLLET

# Is told whether the client is dead; else it will send no more, and may still read.
OnHangup: TypeAlias = Callable[[bool], None]


class Hangups:
    """Tells of sockets whose other side is gone.  `close` it at the end."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, OnHangup] = {}

    def close(self) -> None:
        """Give the file descriptor back."""
        self._epoll.close()

    @contextmanager
    def watching(self, sock: socket.socket, on_hangup: OnHangup) -> Iterator[None]:
        """Have `on_hangup` called, synchronously, on the event loop, when the other side of a socket is gone."""
        number = sock.fileno()
        self._watched[number] = on_hangup
        self._epoll.register(number, _ASKED)
        try:
            yield
        finally:
            self._epoll.unregister(number)
            del self._watched[number]

    async def serve(self) -> None:
        """Tell until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for number, events in self._epoll.poll(0):
                # A callback before may have ended this one.
                if (on_hangup := self._watched.get(number)) is not None:
                    on_hangup(bool(events & _DEAD))
