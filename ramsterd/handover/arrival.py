"""Sockets and their records on the way in: taken once, by a server; what nobody takes is shut down.

The document is voided as soon as it is read, and before anything is served: the service manager may
keep the same memfd, and give it to the process that comes after a crash of ours.  A record taken
twice would serve its unread requests twice.
"""

import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ramsterd.handover.document import (
    DOCUMENT_BYTES_MAX,
    ConnectionRecord,
    DamagedDocument,
    Document,
    Endpoint,
    FrontEnd,
    ListenerRecord,
    decode,
)
from ramsterd.handover.names import DOCUMENT_NAME, Named, Received, socket_name, sort_received
from ramsterd.handover.parting import shut_down


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverStatistics:
    """What this process took over at its start."""

    connections_total: int
    # Their records were damaged, or of an export or memory that is not here; or the connections
    # came without a record.
    dropped_connections_total: int
    # From the moment at which clients were paused until they are served again.
    gap_seconds: float
    # Of the `ramsterctl restart` that was the reason, if it was, once all clients that go on are
    # served again.
    restart_id: str


class Arrival:
    """What an earlier process left."""

    def __init__(self, received: Iterable[Named] = ()) -> None:
        """Take it."""
        sorted_out = sort_received(received)
        # What is not ours: kept memory, or sockets of the unit.
        self.others: list[Named] = sorted_out.others
        # Why nothing can be taken over although something came; empty: all is well.
        self.problem = ""
        self._document = self._take_document(sorted_out)
        self._names = [DOCUMENT_NAME] if sorted_out.documents else []
        self._names += [socket_name(number) for number in sorted(sorted_out.sockets)]
        self._listeners: list[tuple[ListenerRecord, socket.socket]] = []
        self._connections: list[tuple[ConnectionRecord, socket.socket]] = []
        self._taken_total = self._dropped_total = 0
        self._gap_seconds = 0.0
        self._is_finished = False
        self._take_sockets(sorted_out.sockets)

    def _take_document(self, received: Received) -> Document | None:
        documents = received.documents
        try:
            if len(documents) == 1:
                return decode(_read_and_void(documents[0]))
            if documents:
                self.problem = f"{len(documents)} documents of connections came, expected one"
        except (DamagedDocument, OSError) as error:
            self.problem = f"the document of connections can't be read: {error}"
        finally:
            for descriptor in documents:
                # Also one that is not read is never to be read again.
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                os.close(descriptor)
        return None

    def _take_sockets(self, sockets: dict[int, list[int]]) -> None:
        document = self._document
        listeners = () if document is None else document.listeners
        connections = () if document is None else document.connections
        records = [*listeners, *connections]
        for number, descriptors in sockets.items():
            record = records[number] if number < len(records) else None
            if len(descriptors) != 1 or record is None:
                self._drop(descriptors, is_connection=number >= len(listeners))
                continue
            (descriptor,) = descriptors
            is_listener = isinstance(record, ListenerRecord)
            if _is_listening(descriptor) is not is_listener:
                self._drop(descriptors, is_connection=not is_listener)
                continue
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)
            if isinstance(record, ListenerRecord):
                self._listeners.append((record, sock))
            else:
                self._connections.append((record, sock))

    def _drop(self, descriptors: Iterable[int], *, is_connection: bool) -> None:
        for descriptor in descriptors:
            shut_down(descriptor)
        self._dropped_total += is_connection

    @property
    def came(self) -> bool:
        """Whether anything of ours came."""
        return bool(self._names)

    @property
    def names_to_give_up(self) -> list[str]:
        """What a service manager has of this, and is to have no more."""
        is_stored = self._document is None or self._document.is_stored
        return self._names if is_stored else []

    def require_memory(self, memory_id: bytes) -> None:
        """Shut down all connections unless their pages are in this memory.

        Empty: no memory was kept.
        """
        document = self._document
        if document is None or (memory_id and document.memory_id == memory_id):
            return
        if self._connections:
            self.problem = "the memory of the last run is not here"
        for _, sock in self._connections:
            shut_down(sock.detach())
            self._dropped_total += 1
        self._connections.clear()

    def has_listener(self, endpoint: Endpoint, address: str) -> bool:
        """Whether the listening socket of an endpoint is here."""
        return any(
            (each.endpoint, each.address) == (endpoint, address) for each, _ in self._listeners
        )

    def add_listener(self, record: ListenerRecord, sock: socket.socket) -> None:
        """Have one that this process has opened, before its server is there."""
        self._listeners.append((record, sock))

    def listener(self, endpoint: Endpoint, address: str) -> socket.socket | None:
        """Return the listening socket of an endpoint, if it came and is still what clients find at that address."""
        for record, sock in self._listeners:
            if (record.endpoint, record.address) != (endpoint, address):
                continue
            if record.inode and _inode_of(address) != record.inode:
                continue
            self._listeners.remove((record, sock))
            return sock
        return None

    def connections(self, front_end: FrontEnd) -> list[tuple[ConnectionRecord, socket.socket]]:
        """Return the connections of a front end, which serves them from now on."""
        everything, self._connections = self._connections, []
        taken = [each for each in everything if each[0].front_end is front_end]
        self._connections = [each for each in everything if each[0].front_end is not front_end]
        return taken

    def on_taken(self) -> None:
        """A connection goes on."""
        self._taken_total += 1

    def on_dropped(self) -> None:
        """A connection that was taken ends: it can't go on here."""
        self._dropped_total += 1

    def finish(self, *, now_nanoseconds: int) -> None:
        """Everybody has taken what is theirs: shut down the rest.  May be called twice."""
        for record, sock in self._listeners:
            with suppress(OSError):
                if record.inode and _inode_of(record.address) == record.inode:
                    Path(record.address).unlink()
            sock.close()
        for _, sock in self._connections:
            shut_down(sock.detach())
            self._dropped_total += 1
        self._listeners, self._connections = [], []
        self._is_finished = True
        if self._document is not None and not self._gap_seconds:
            self._gap_seconds = (now_nanoseconds - self._document.paused_at_nanoseconds) / 1e9

    def statistics(self) -> HandoverStatistics:
        """Return a snapshot."""
        return HandoverStatistics(
            connections_total=self._taken_total,
            dropped_connections_total=self._dropped_total,
            gap_seconds=self._gap_seconds,
            restart_id=self._document.restart_id if self._document and self._is_finished else "",
        )


def _read_and_void(descriptor: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise DamagedDocument("no memory")
    length = os.fstat(descriptor).st_size
    data = os.pread(descriptor, min(length, DOCUMENT_BYTES_MAX + 1), 0)
    os.ftruncate(descriptor, 0)
    return data


def _is_listening(descriptor: int) -> bool | None:
    """Return whether a socket listens, or None: it is no stream socket."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return None
    sock = socket.socket(fileno=descriptor)
    try:
        if sock.type != socket.SOCK_STREAM:
            return None
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        sock.detach()


def _inode_of(path: str) -> int:
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else 0
