"""Whether the next process will have the pages of this one: the one predicate that a restart without loss asks.  Pure."""

from collections.abc import Sequence
from typing import Protocol

from ramsterd.handover.names import Named


class Keeping(Protocol):
    """Who keeps the memory of this process, as far as clients are concerned."""

    @property
    def memory_id(self) -> bytes:
        """Which memory this process has; empty: none that anybody keeps."""
        ...

    @property
    def refusal(self) -> str:
        """Why the next process would not find the pages, as one clause for an operator; empty: it will."""
        ...

    @property
    def outlives_process(self) -> bool:
        """Whether the pages stay when this process ends, and not only when it becomes the next one."""
        ...

    @property
    def descriptors(self) -> Sequence[Named]:
        """Memory that is found by no path, by name: for the next program of this process to inherit."""
        ...


class NotKept:
    """Memory ends with the process."""

    memory_id = b""
    outlives_process = False
    descriptors: Sequence[Named] = ()
    refusal = "nobody keeps the memory of ramsterd during a restart"
