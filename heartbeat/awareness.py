"""Local health: how much we trust our own judgement (Lifeguard, "Local Health Multiplier").  Pure.

A node that is short of CPU takes others for dead, since their answers wait in its own queue.  It
can know: its probes fail, helpers that should at least say "no" stay silent, and it has to refute
suspicions of itself.  Each raises a score, each answered probe lowers it, and its probe interval
and timeout are stretched by it.
"""


class Awareness:
    """A score from 0 (healthy) to `multiplier_max` - 1."""

    def __init__(self, multiplier_max: int) -> None:
        assert multiplier_max >= 1
        self._score_max = multiplier_max - 1
        self._score = 0

    @property
    def multiplier(self) -> int:
        """By what probe interval and timeout are stretched, 1 to `multiplier_max`."""
        return self._score + 1

    @property
    def is_at_worst(self) -> bool:
        """Whether it can't get worse, though it could be better."""
        return 0 < self._score == self._score_max

    def on_good(self) -> None:
        """Note an answer in time."""
        self._score = max(0, self._score - 1)

    def on_bad(self, points: int = 1) -> None:
        """Note so many reasons to doubt ourselves."""
        assert points >= 0
        self._score = min(self._score_max, self._score + points)
