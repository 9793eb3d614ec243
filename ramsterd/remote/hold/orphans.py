"""Orphans: the pages of an owner that is down go when it has been so for long enough."""

from collections.abc import Callable

from nodemanager.ids import NodeId


class Orphans:
    """Owners that are missed, and when their pages go."""

    def __init__(self, *, orphan_seconds: float, purge: Callable[[NodeId], None]) -> None:
        """Begin with none; `purge` begins to drop all pages of an owner."""
        self._orphan_seconds = orphan_seconds
        self._purge = purge
        self._purge_at: dict[NodeId, float] = {}

    def expect(self, owner: NodeId, now: float) -> None:
        """An owner is down and has no link; what is waited for already goes on."""
        self._purge_at.setdefault(owner, now + self._orphan_seconds)

    def call_off(self, owner: NodeId) -> None:
        """An owner is there, or has no pages any more."""
        self._purge_at.pop(owner, None)

    def next_deadline(self) -> float | None:
        """Return when the first owner is given up."""
        return min(self._purge_at.values()) if self._purge_at else None

    def on_deadline(self, now: float) -> None:
        """Give up owners that have been missed for long enough."""
        for owner, at in list(self._purge_at.items()):
            if at <= now:
                del self._purge_at[owner]
                self._purge(owner)
