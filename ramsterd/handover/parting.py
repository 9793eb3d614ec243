"""Sockets and their records on the way out: collected within limits, then one list of descriptors with names."""

import os
import socket
import stat
from contextlib import suppress

from ramsterd.handover.document import (
    CONNECTIONS_MAX,
    DOCUMENT_BYTES_MAX,
    ConnectionRecord,
    Document,
    FrontEnd,
    ListenerRecord,
    encode,
    record_bytes,
)
from ramsterd.handover.names import DOCUMENT_NAME, Named, socket_name

# What a document has beyond its connections.
_OTHER_BYTES_MAX = 256 * 1024


class Parting:
    """What one process leaves to the next.  Nothing that is in it may be used here any more."""

    def __init__(self, *, memory_id: bytes, restart_id: str, paused_at_nanoseconds: int) -> None:
        self._memory_id = memory_id
        self._restart_id = restart_id
        self._paused_at_nanoseconds = paused_at_nanoseconds
        self._listeners: list[tuple[ListenerRecord, int]] = []
        self._connections: list[tuple[ConnectionRecord, int]] = []
        # Last: they give their places to the others.
        self._handshakes: list[tuple[ConnectionRecord, int]] = []
        self._bytes = _OTHER_BYTES_MAX
        # Connections that could not be brought to an edge, or for which there is no room.
        self.dropped = 0

    @property
    def connections(self) -> int:
        """How many connections go on."""
        return len(self._connections) + len(self._handshakes)

    def add_listener(self, record: ListenerRecord, descriptor: int) -> None:
        """Leave a listening socket."""
        self._listeners.append((record, descriptor))

    def add_connection(self, record: ConnectionRecord, descriptor: int) -> None:
        """Leave a connection, or shut it down: there are too many.

        Clients in a handshake have nothing to lose yet, and may never say anything: they keep no
        other one out.
        """
        is_handshake = record.front_end is FrontEnd.NBD_HANDSHAKE
        while not self._has_room(record) and self._handshakes and not is_handshake:
            given_up, its_descriptor = self._handshakes.pop()
            self._bytes -= record_bytes(given_up)
            self._shut_down(its_descriptor)
        if self._has_room(record):
            self._bytes += record_bytes(record)
            (self._handshakes if is_handshake else self._connections).append((record, descriptor))
        else:
            self._shut_down(descriptor)

    def _has_room(self, record: ConnectionRecord) -> bool:
        has_bytes = self._bytes + record_bytes(record) <= DOCUMENT_BYTES_MAX
        return has_bytes and self.connections < CONNECTIONS_MAX

    def _shut_down(self, descriptor: int) -> None:
        shut_down(descriptor)
        self.on_dropped()

    def on_dropped(self) -> None:
        """A connection ends."""
        self.dropped += 1

    def seal(self, *, is_stored: bool) -> list[Named]:
        """Return everything as descriptors with names, the document first, then listening sockets.

        Once.

        Args:
            is_stored: A service manager keeps them, and is to give them up once they are taken.

        Raises:
            OSError: There is no descriptor, or no memory, for the document.
        """
        connections = [*self._connections, *self._handshakes]
        data = encode(
            Document(
                memory_id=self._memory_id,
                restart_id=self._restart_id,
                paused_at_nanoseconds=self._paused_at_nanoseconds,
                is_stored=is_stored,
                listeners=tuple(record for record, _ in self._listeners),
                connections=tuple(record for record, _ in connections),
            )
        )
        document = os.memfd_create(DOCUMENT_NAME, os.MFD_CLOEXEC)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(document, rest) :]
        sockets = [descriptor for _, descriptor in (*self._listeners, *connections)]
        named = [(socket_name(number), each) for number, each in enumerate(sockets)]
        return [(DOCUMENT_NAME, document), *named]


def shut_down(descriptor: int) -> None:
    """End a connection for its client, also when others have its socket open.

    Close what is no socket.
    """
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return
    # An error: it is over already, or was never connected.
    with socket.socket(fileno=descriptor) as sock, suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
