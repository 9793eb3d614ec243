"""A listening socket that may come from an earlier process, and go to the next one."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from ramsterd.endpoints.sockets import listen_tcp, unix_listener
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.document import Endpoint, ListenerRecord
from ramsterd.handover.parting import Parting


class Listening:
    """One of them, for as long as its block lasts."""

    def __init__(self, sock: socket.socket, record: ListenerRecord) -> None:
        self.sock = sock
        self._record = record
        self._scope = trio.CancelScope()
        self._has_ended = trio.Event()

    async def run(self, accept: Callable[[], Awaitable[object]]) -> None:
        """Accept until `stop_accepting`, or until cancelled."""
        try:
            with self._scope:
                await accept()
        finally:
            self._has_ended.set()

    async def stop_accepting(self) -> None:
        """New clients wait in the backlog once this has returned.

        One that came in the same turn of the loop is still let in: its task has run by then, for
        `accept` gives everybody a turn after each client.
        """
        self._scope.cancel()
        await self._has_ended.wait()

    def hand_over(self, parting: Parting) -> None:
        """Leave it to the next process: nothing of it is closed here."""
        parting.add_listener(self._record, self.sock.detach())


def unix_record(endpoint: Endpoint, path: Path) -> ListenerRecord:
    """Return the record of a socket that listens at a path."""
    return ListenerRecord(endpoint=endpoint, address=str(path), inode=path.lstat().st_ino)


@contextmanager
def listening_unix(endpoint: Endpoint, path: Path, arrival: Arrival) -> Iterator[Listening]:
    """Listen at a path during the block, as `unix_listener` does."""
    handed = arrival.listener(endpoint, str(path))
    with unix_listener(path, handed) as sock:
        yield Listening(sock, unix_record(endpoint, path))


@contextmanager
def listening_tcp(endpoint: Endpoint, listen: str, arrival: Arrival) -> Iterator[Listening]:
    """Listen at a loopback address during the block, as `listen_tcp` does."""
    handed = arrival.listener(endpoint, listen)
    with listen_tcp(listen) if handed is None else handed as sock:
        yield Listening(sock, ListenerRecord(endpoint=endpoint, address=listen))
