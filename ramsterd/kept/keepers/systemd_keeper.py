"""The service manager keeps the mappings: memfds in its descriptor store.

They are stored as they are made, not at an exit that may never come.  They are kept over a restart
of the unit and over a crash; they end when the unit stops, and when its start limit is hit.
"""

import os
from collections.abc import Iterable

from ramsterd.host.fd_store import DescriptorStore
from ramsterd.kept.keepers.keeper import (
    DESCRIPTOR_PREFIX,
    KeeperRefused,
    make_memfd,
    received_memory,
    unambiguous,
)


class SystemdKeeper:
    """See the module's text."""

    description = "systemd"
    outlives_stop = False
    to_discard = "`systemctl stop ramsterd`, then `systemctl start ramsterd`"
    needs_reserve = False
    has_paths = False
    warning = ""

    def __init__(self, store: DescriptorStore, received: Iterable[tuple[str, int]]) -> None:
        """Use a store that keeps something (`refusal_of`).

        Args:
            store: The manager's.
            received: What this process was started with; what is not ours among it is left alone.
        """
        self._store = store
        self._received = received_memory(received)
        self._names = {name for name, _ in self._received}

    def take(self) -> dict[str, int]:
        """Return what came with the start; the manager has it, too.

        It may have come from the program before, of which the manager had nothing: then it is
        handed to it here.  What it has already it does not take twice.

        Raises:
            KeeperRefused: The manager does not take it.
        """
        received, self._received = self._received, []
        taken = unambiguous(received)
        for name, fd in taken.items():
            self._store_file(name, fd)
        return taken

    def make(self, name: str, length: int) -> int:
        """Return a memfd that the manager has, too."""
        fd = make_memfd(name, length)
        self._names.add(name)
        try:
            self._store_file(name, fd)
        except KeeperRefused:
            os.close(fd)
            raise
        return fd

    def _store_file(self, name: str, fd: int) -> None:
        try:
            self._store.store(DESCRIPTOR_PREFIX + name, fd)
        except OSError as error:
            raise KeeperRefused(
                f"systemd does not take {name}: {error.strerror or error}"
            ) from None

    def discard(self) -> None:
        """Have the manager give up all names that it ever had of us."""
        give_up(self._store, sorted(self._names))
        self._names.clear()

    def finish(self) -> None:
        """Wait until the manager has handled all that it was handed, and see that it kept that."""
        if self._store.descriptors_max is None and not _has_room(self._store):
            # What did not fit is closed already, and so is whatever was handed to it later.
            raise KeeperRefused(_too_few("too few", len(self._names)))
        try:
            self._store.wait_handled()
        except OSError as error:
            raise _silent(error) from None

    def close(self) -> None:
        """Close what nobody took."""
        for _, fd in self._received:
            os.close(fd)
        self._received = []


def refusal_of(store: DescriptorStore, *, mappings: int) -> str:
    """Return why a manager can't keep so many mappings, or an empty text.

    Raises:
        KeeperRefused: It does not answer.
    """
    if not store.has_manager:
        return (
            "systemd did not start this ramsterd (NOTIFY_SOCKET is not set): type `systemctl start ramsterd`,"
            " or set keep to a folder on a tmpfs"
        )
    if store.descriptors_max is None:
        return "" if _has_room(store) else _too_few("no", mappings)
    return "" if store.descriptors_max >= mappings else _too_few(store.descriptors_max, mappings)


def give_up(store: DescriptorStore, names: Iterable[str]) -> None:
    """Have the manager give up mappings, if it has them.

    Raises:
        KeeperRefused: It does not take that.
    """
    for name in names:
        try:
            store.remove(DESCRIPTOR_PREFIX + name)
        except OSError as error:
            raise KeeperRefused(
                f"systemd does not give up {name}: {error.strerror or error}"
            ) from None


def _too_few(found: int | str, mappings: int) -> str:
    # One more, by which this is tried.
    return (
        f"systemd keeps {found} descriptors of this unit, and {mappings + 1} are needed:"
        f" set FileDescriptorStoreMax={mappings + 1} or more in the unit"
    )


def _has_room(store: DescriptorStore) -> bool:
    try:
        return store.has_room()
    except OSError as error:
        raise _silent(error) from None


def _silent(error: OSError) -> KeeperRefused:
    return KeeperRefused(f"systemd does not answer: {error.strerror or error}")
