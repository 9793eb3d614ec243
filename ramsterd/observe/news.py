"""One piece of news for the log, and how often what goes on is said again."""

from dataclasses import dataclass
from typing import Final

AGAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class News:
    """One line, with its level in `logging`."""

    level: int
    text: str
