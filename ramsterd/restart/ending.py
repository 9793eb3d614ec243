"""What ends with the daemon, said to the log."""

import logging
from collections.abc import Callable

from ramsterd.core.family import Family
from ramsterd.membership.ending import describe_ending
from ramsterd.pagepath.engine import Engine

logger = logging.getLogger("ramster.daemon")


class Ending:
    """Of one node."""

    def __init__(self, node: str, engine: Engine, count_clients: Callable[[], int]) -> None:
        self._node = node
        self._engine = engine
        self._count_clients = count_clients

    def describe(self) -> str:
        """Return what we own, which goes with us, wherever it is; an empty text: nothing."""
        return describe_ending(self._node, self._engine.pages_owned(), self._count_clients())

    def describe_held(self) -> str:
        """Return what we hold of others, which goes with us; an empty text: nothing."""
        held = self._engine.store.versions.zpages[Family.FOREIGN_PERSISTENT]
        if not held:
            return ""
        return (
            f"{held:,} pages of other nodes end with this stop: pages without another copy are lost"
        )

    def describe_all(self) -> list[str]:
        """Return both, as far as there is something."""
        return [text for text in (self.describe(), self.describe_held()) if text]

    def say_what_ends(self) -> None:
        """Say it, while clients are still connected."""
        if ending := self.describe():
            logger.warning("%s", ending)

    def say_what_is_lost(self) -> None:
        """Say what we hold of others, which goes with us, once everything else has ended."""
        if held := self.describe_held():
            logger.warning("%s", held)
