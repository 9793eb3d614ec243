"""Contests between links: a contender waits until the present link of its node has answered a PROBE or ended.  Pure."""

from collections.abc import Callable


class Contest:
    """One link's part: on whom it waits, and who waits on it."""

    def __init__(self) -> None:
        self._present: Contest | None = None
        # Kept only while it waits: it leads back to the link, and a link that has ended must be
        # free at once.
        self._on_present_ended: Callable[[], None] | None = None
        self._contenders: dict[Contest, None] = {}

    def enter(self, present: "Contest", on_present_ended: Callable[[], None]) -> None:
        """Wait on another link; `on_present_ended` is called if that is over meanwhile."""
        self.leave()
        self._present, self._on_present_ended = present, on_present_ended
        present._contenders[self] = None  # noqa: SLF001  of our own kind

    def leave(self) -> None:
        """Wait no more: this link is open, or over."""
        if self._present is not None:
            del self._present._contenders[self]  # noqa: SLF001  likewise
            self._present = self._on_present_ended = None

    def on_ended(self) -> None:
        """This link is over; those who wait on it are told."""
        self.leave()
        for contender in list(self._contenders):
            if contender._on_present_ended is not None:  # noqa: SLF001  likewise
                contender._on_present_ended()  # noqa: SLF001  likewise
