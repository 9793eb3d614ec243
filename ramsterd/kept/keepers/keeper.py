"""What a keeper of mappings is: names in, file descriptors out; and the keeper that keeps nothing."""

import os
from typing import Protocol


class KeeperRefused(Exception):
    """Memory can't be kept here; the message is one line for the operator."""


class MemoryTaken(Exception):
    """Another process uses this memory; the message is one line for the operator."""


class Keeper(Protocol):
    """Keeps mappings by name from one process to the next.  All of it blocks, and is for the start."""

    # As operators call it; empty: nothing is kept.
    description: str
    # Whether others fill what the files are in, too: what is written is to be reserved before (core.arena).
    needs_reserve: bool

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


class KeepsNothing:
    """Memory ends with the process."""

    description = ""
    needs_reserve = False

    def take(self) -> dict[str, int]:
        """Return nothing."""
        return {}

    def make(self, name: str, length: int) -> int:
        """Return memory that nobody else has."""
        return make_memfd(name, length)

    def discard(self) -> None:
        """There is nothing."""

    def finish(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nobody waits."""


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
