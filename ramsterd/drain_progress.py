"""How far a drain is, from what the node says of itself again and again.  Pure."""

from typing import Final

# Its own pages come home as far as they fit.  When so long none did, they don't.
OWN_SECONDS: Final = 10.0
# Nothing left in so long: somebody should look.
STALL_SECONDS: Final = 10.0


class DrainProgress:
    """What was said last, and since when nothing has changed."""

    def __init__(self) -> None:
        self.line = "the node was not heard yet"
        self._said: tuple[int, int] | None = None
        self._changed_at = 0.0

    def on_said(self, result: dict[str, object], *, now: float) -> bool:
        """Take an answer to `node-drain`; return whether the drain is over."""
        foreign, own = result["pages_foreign"], result["pages_own_elsewhere"]
        if not isinstance(foreign, int) or not isinstance(own, int):
            if not result["is_reached"]:
                self.line = "the node is not linked here: it drains when it is back"
            return False
        if (foreign, own) != self._said:
            self._said, self._changed_at = (foreign, own), now
        still_seconds = now - self._changed_at
        self.line = f"{foreign} pages of others are there; {own} of its own are only at peers"
        if foreign and still_seconds >= STALL_SECONDS:
            self.line += (
                f"; no change for {still_seconds:.0f} s: their owners find no room for them"
            )
        return not foreign and (not own or still_seconds >= OWN_SECONDS)
