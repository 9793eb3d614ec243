"""A keeper of mappings: names in, file descriptors out.

Also the one that keeps them for the next program of this process only.
"""

import os
import stat
from collections.abc import Iterable
from typing import Final, Protocol

# What descriptors of kept memory are called in a descriptor store, and on the way to the next
# program of a process.
DESCRIPTOR_PREFIX: Final = "ramster-"


class KeeperRefused(Exception):
    """Memory can't be kept here; the message is one line for the operator."""


class MemoryTaken(Exception):
    """Another process uses this memory; the message is one line for the operator."""


class Keeper(Protocol):
    """Keeps mappings by name from one process to the next.  All of it blocks, and is for the start."""

    # As operators call it; empty: nothing is kept.
    description: str
    # Whether it keeps the memory of a daemon that was stopped, too, and not only while it restarts.
    outlives_stop: bool
    # What an operator types to start without what is kept.
    to_discard: str
    # Whether others fill what the files are in, too: what is written is to be reserved before
    # (core.arena).
    needs_reserve: bool
    # Whether the next process finds the files by their paths.
    has_paths: bool
    # What an operator should know of it, as a line; empty: nothing.
    warning: str

    def take(self) -> dict[str, int]:
        """Return what an earlier process has kept, by name; the caller closes it.

        Raises:
            KeeperRefused: Something of it can't be used.
        """
        ...

    def make(self, name: str, length: int) -> int:
        """Return a new file of zeros that is kept from now on; the caller closes it.

        Raises:
            KeeperRefused: It can't be kept.
            MemoryTaken: Somebody made it meanwhile.
        """
        ...

    def discard(self) -> None:
        """Give up all that was kept.

        Raises:
            KeeperRefused: It can't be given up.
        """
        ...

    def finish(self) -> None:
        """All that was made should be kept by now.

        Raises:
            KeeperRefused: Nobody can tell.
        """
        ...

    def close(self) -> None:
        """Let another process have it."""
        ...


class ProcessKeeper:
    """Memory ends with the process; a next program of the same process inherits it (execve(2))."""

    description = ""
    outlives_stop = False
    to_discard = "`systemctl restart ramsterd`"
    needs_reserve = False
    has_paths = False
    warning = ""

    def __init__(self, received: Iterable[tuple[str, int]] = ()) -> None:
        """Begin with what this program was started with."""
        self._received = received_memory(received)

    def take(self) -> dict[str, int]:
        """Return what the program before has left."""
        received, self._received = self._received, []
        return unambiguous(received)

    def make(self, name: str, length: int) -> int:
        """Return memory that nobody else has."""
        return make_memfd(name, length)

    def discard(self) -> None:
        """What nobody has open is gone."""

    def finish(self) -> None:
        """There is nobody to wait for."""

    def close(self) -> None:
        """Close what nobody took."""
        for _, fd in self._received:
            os.close(fd)
        self._received = []


def received_memory(received: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return what of the descriptors of a start is ours, by the names of mappings."""
    return [
        (name.removeprefix(DESCRIPTOR_PREFIX), fd)
        for name, fd in received
        if name.startswith(DESCRIPTOR_PREFIX)
    ]


def unambiguous(received: list[tuple[str, int]]) -> dict[str, int]:
    """Return what was received once.

    Of a name that came twice nobody knows which is meant, so it is closed.
    """
    taken: dict[str, int] = {}
    names = [name for name, _ in received]
    for name, fd in received:
        if names.count(name) == 1 and stat.S_ISREG(os.fstat(fd).st_mode):
            taken[name] = fd
        else:
            os.close(fd)
    return taken


def make_memfd(name: str, length: int) -> int:
    """Return a memfd of a length.

    Raises:
        KeeperRefused: The kernel refuses.
    """
    try:
        fd = os.memfd_create(f"ramster-{name}", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, length)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise KeeperRefused(f"can't make {length} bytes of memory for {name}: {reason}") from None
    return fd
