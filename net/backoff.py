"""How long to wait before the next try: doubling, with jitter, from a given Random.  Pure."""

import random
from typing import Final

RECONNECT_SECONDS_FIRST: Final = 0.2
RECONNECT_SECONDS_MAX: Final = 10.0
assert 0 < RECONNECT_SECONDS_FIRST < RECONNECT_SECONDS_MAX


class Backoff:
    """Delays of 0.2 s, doubling to 10 s, each between half and the whole of that.

    The jitter keeps nodes that lost the same peer together from coming back together.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        first_seconds: float = RECONNECT_SECONDS_FIRST,
        most_seconds: float = RECONNECT_SECONDS_MAX,
    ) -> None:
        self._rng = rng
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._whole_seconds = first_seconds

    def next_seconds(self) -> float:
        """Return how long to wait this time."""
        whole = self._whole_seconds
        self._whole_seconds = min(whole * 2, self._most_seconds)
        return whole * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over: the last try went well."""
        self._whole_seconds = self._first_seconds
