"""The virtual clock as the world sees it, and as a node sees it that was paused (`ramsterd.host.loop_time`).

Code of the product reads `trio.current_time()`, which is the time of its own node while it runs here; what stands for
wires and sockets reads `now()`, which is the same for all.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from trio.testing import MockClock


class SimTime:
    """One virtual clock for nodes of which some are behind."""

    def __init__(self, clock: MockClock) -> None:
        assert clock.rate == 0, "it moves by jumps alone"
        self._clock = clock
        # While a node's code runs: what the time of the world is.
        self._world: float | None = None

    def now(self) -> float:
        """Return the time of the world."""
        return trio.current_time() if self._world is None else self._world

    def jump_to(self, at: float) -> None:
        """Let time pass."""
        assert self._world is None, "no time passes while a node's code runs"
        if at > self.now():
            self._clock.jump(at - self.now())
        while self.now() < at:  # the sum was rounded down, and nothing would be due yet
            self._clock.jump(math.ulp(at))

    @contextmanager
    def of_node(self, behind: float) -> Iterator[None]:
        """Let `trio.current_time()` be that of a node whose loop stood still for so long."""
        outer_world, outer_time = self._world, trio.current_time()
        self._world = self.now()
        self._set(self._world - behind)
        try:
            yield
        finally:
            self._world = outer_world
            self._set(outer_time)

    def _set(self, seconds: float) -> None:
        # The clock of trio's tests only goes forward; this is the one place that knows how it keeps its time.
        self._clock._virtual_base = seconds
        assert trio.current_time() == seconds


def world_of(at: float, behind: float) -> float:
    """Return when in the world a node's clock shows a time, or a moment later: never before it."""
    world = at + behind
    while world - behind < at:
        world = math.nextafter(world, math.inf)
    return world
