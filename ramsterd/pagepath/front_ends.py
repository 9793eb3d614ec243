"""Front ends as the page path knows them: who waits for pages or for room, and wants to be told.

There is one at most, the pager; a node without one keeps pages for others all the same.
"""

from typing import Protocol, TypeAlias

from ramsterd.pagepath.effects import GetDone, Replicated

# What front ends may wait for.
Woken: TypeAlias = GetDone | Replicated


class FrontEnds(Protocol):
    """What the page path calls."""

    def on_woken(self, woken: Woken) -> None:
        """What somebody waited for has happened."""
        ...

    def serve_waiting(self) -> bool:
        """Serve the writes that wait, once a pass, when what peers sent has had its effect.

        Return whether anybody was.
        """
        ...

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""
        ...

    def on_deadline(self, now: float) -> None:
        """Do what is due."""
        ...


class NoFrontEnds:
    """Nobody waits here."""

    def on_woken(self, woken: Woken) -> None:
        """See `FrontEnds`."""

    def serve_waiting(self) -> bool:
        """See `FrontEnds`."""
        return False

    def next_deadline(self) -> float | None:
        """See `FrontEnds`."""
        return None

    def on_deadline(self, now: float) -> None:
        """See `FrontEnds`."""
