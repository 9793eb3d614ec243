"""The service manager keeps the mappings: memfds in its descriptor store.

They are stored as they are made, not at an exit that may never come.  They are kept over a restart of the unit and over
a crash; they end when the unit stops, and when its start limit is hit.
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

    def __init__(
        self, store: DescriptorStore, received: Iterable[tuple[str, int]], *, mappings: int
    ) -> None:
        """Use a store.

        Args:
            store: The manager's.
            received: What this process was started with; what is not ours among it is left alone.
            mappings: How many will be made.

        Raises:
            KeeperRefused: There is no manager, or it stores fewer.
        """
        if not store.has_manager:
            raise KeeperRefused("there is no systemd here that keeps memory (NOTIFY_SOCKET)")
        if store.descriptors_max is not None and store.descriptors_max < mappings:
            raise KeeperRefused(
                f"systemd keeps {store.descriptors_max} descriptors of this unit, and {mappings} are needed:"
                f" set FileDescriptorStoreMax={mappings} or more in the unit"
            )
        self._store = store
        self._received = received_memory(received)
        self._names = {name for name, _ in self._received}

    def take(self) -> dict[str, int]:
        """Return what came with the start."""
        received, self._received = self._received, []
        return unambiguous(received)

    def make(self, name: str, length: int) -> int:
        """Return a memfd that the manager has, too."""
        fd = make_memfd(name, length)
        self._names.add(name)
        try:
            self._store.store(DESCRIPTOR_PREFIX + name, fd)
        except OSError as error:
            os.close(fd)
            raise KeeperRefused(
                f"systemd does not take {name}: {error.strerror or error}"
            ) from None
        return fd

    def discard(self) -> None:
        """Have the manager give up all names that it ever had of us."""
        for name in sorted(self._names):
            try:
                self._store.remove(DESCRIPTOR_PREFIX + name)
            except OSError as error:
                raise KeeperRefused(
                    f"systemd does not give up {name}: {error.strerror or error}"
                ) from None
        self._names.clear()

    def finish(self) -> None:
        """Wait until the manager has handled all that it was handed."""
        try:
            self._store.wait_handled()
        except OSError as error:
            raise KeeperRefused(f"systemd does not answer: {error.strerror or error}") from None

    def close(self) -> None:
        """Close what nobody took."""
        for _, fd in self._received:
            os.close(fd)
        self._received = []
