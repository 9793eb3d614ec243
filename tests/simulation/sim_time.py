"""The virtual clock as the world sees it, and as a node sees it that was paused (`ramsterd.host.loop_time`).

Code of the product reads `trio.current_time()`, which is the time of its own node while it runs here; what stands for
wires and sockets reads `now()`, which is the same for all.
"""

import math

from trio.testing import MockClock


class SimTime:
    """One virtual clock for nodes of which some are behind."""

    def __init__(self, clock: MockClock) -> None:
        assert clock.rate == 0, "it moves by jumps alone"
        self._clock = clock
        # While a node's code runs: what the time of the world is.
        self._world: float | None = None
        self._show(clock.current_time())
        assert self._shown() == clock.current_time(), "the clock keeps its time elsewhere"

    def now(self) -> float:
        """Return the time of the world."""
        return self._shown() if self._world is None else self._world

    def jump_to(self, at: float) -> None:
        """Let time pass."""
        assert self._world is None, "no time passes while a node's code runs"
        if at > self.now():
            self._clock.jump(at - self.now())
        while self.now() < at:  # the sum was rounded down, and nothing would be due yet
            self._clock.jump(math.ulp(at))

    def of_node(self, behind: float) -> "TimeOfNode":
        """Let `trio.current_time()` be that of a node whose loop stood still for so long."""
        return TimeOfNode(self, behind)

    # The clock of trio's tests only goes forward, and is slow to ask; these two know how it keeps its time.

    def _shown(self) -> float:
        return self._clock._virtual_base

    def _show(self, seconds: float) -> None:
        self._clock._virtual_base = seconds


class TimeOfNode:
    """A block in which the clock shows the time of a node.  It runs at every step: a generator costs thrice as much."""

    __slots__ = ("_behind", "_outer_shown", "_outer_world", "_time")

    def __init__(self, time: SimTime, behind: float) -> None:
        self._time = time
        self._behind = behind
        self._outer_world: float | None = None
        self._outer_shown = 0.0

    def __enter__(self) -> None:
        time = self._time
        self._outer_world, self._outer_shown = time._world, time._shown()
        time._world = time.now()
        time._show(time._world - self._behind)

    def __exit__(self, *_: object) -> None:
        self._time._world = self._outer_world
        self._time._show(self._outer_shown)


def world_of(at: float, behind: float) -> float:
    """Return when in the world a node's clock shows a time, or a moment later: never before it."""
    world = at + behind
    while world - behind < at:
        world = math.nextafter(world, math.inf)
    return world
