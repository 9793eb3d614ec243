"""Who keeps the pages of this process for the next one, as far as the connections of clients are concerned.  Pure."""

from collections.abc import Sequence
from typing import Protocol

from ramsterd.handover.names import Named


class Keeping(Protocol):
    """The kept memory of this process."""

    @property
    def memory_id(self) -> bytes:
        """Which memory this process has."""
        ...

    @property
    def outlives_process(self) -> bool:
        """Whether the pages stay when this process ends, and not only when it becomes the next one."""
        ...

    @property
    def outlives_stop(self) -> bool:
        """Whether the pages are there again when a daemon that was stopped is started."""
        ...

    @property
    def descriptors(self) -> Sequence[Named]:
        """Memory that is found by no path, by name: for the next program of this process to inherit."""
        ...
