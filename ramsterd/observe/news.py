"""One piece of news for the log, and how often what goes on is said again."""

from dataclasses import dataclass
from typing import Final

from config.event_kinds import EventKind

AGAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class News:
    """One line, with its level in `logging`."""

    level: int
    kind: EventKind
    text: str
    # The export or pool that it is about, if it is about one.
    export: str = ""
    pool: str = ""
