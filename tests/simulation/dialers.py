"""What `net.dialer` does, without its tasks: a pair without a link gets one again after a while."""

import math
import random
from dataclasses import dataclass, field

from net.backoff import Backoff
from net.dialer import DIAL_SECONDS_MAX, STAYED_SECONDS_MIN
from net.mesh import Mesh
from net.peerlink import PeerLink
from nodemanager.ids import NodeId
from tests.simulation.sim_time import world_of
from tests.simulation.wire import End


@dataclass(slots=True, eq=False)
class Dialer:
    """One node's wish to be linked to one with a lower number."""

    node: NodeId
    target: NodeId
    mesh: Mesh
    rng: random.Random
    # When it may try next.
    at: float
    # What it made last, until that is over.
    end: End | None = None
    began_at: float = 0.0
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(self.rng)

    def next_try(self, behind: float) -> float:
        """Return when it tries next: not while a greeting is under way, nor while there is a link that speaks."""
        if self.end is not None and not self.end.is_open_or_over:
            return math.inf
        present = self.mesh.links.get(self.target)
        if not isinstance(present, PeerLink) or self.mesh.is_outdated(present):
            return self.at
        return max(self.at, world_of(present.received_at + self.mesh.silent_seconds, behind))

    def on_dialed(self, end: End, now: float) -> None:
        """There is a wire; whether it becomes a link shows later."""
        self.end, self.began_at, self.at = end, now, now

    def on_no_answer(self, now: float) -> None:
        """Nothing came back: the path is blocked."""
        self.at = now + DIAL_SECONDS_MAX + self._backoff.next_seconds()

    def on_refused(self, now: float) -> None:
        """Nobody listens there."""
        self.at = now + self._backoff.next_seconds()

    def look(self, now: float) -> None:
        """Try again some time after a link has ended."""
        if self.end is None or not self.end.is_over:
            return
        if now - self.began_at >= STAYED_SECONDS_MIN:
            self._backoff.reset()
        self.end = None
        self.at = now + self._backoff.next_seconds()
