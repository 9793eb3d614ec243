"""Work: how much was touched, by name, so that the loop watch can say why a pass was long, and tests whether one is bounded.

A unit is a page, a row that is judged, or a node or block on the way there: about a microsecond,
never more than ten.  It is counted once a run or a block, not once a page; and what the store
counts anyway is not counted again.
"""

from ramsterd.core.counters import Counters


class Work(dict[str, int]):
    """Units since the start, by what they were touched for: `work["flush"] += pages`."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._counters = counters

    def __missing__(self, name: str) -> int:
        return 0

    def snapshot(self) -> dict[str, int]:
        """Return all units since the start, with pages that were put and got."""
        counters = self._counters
        got = counters.get_local + counters.get_remote + counters.get_hole + counters.get_lost
        return {**self, "put": counters.put - counters.put_zeroed, "get": got}

    def total(self) -> int:
        """Return all units since the start."""
        return sum(self.snapshot().values())

    def most_since(self, before: dict[str, int], *, units_min: int = 1) -> str:
        """Return what touched most since a snapshot.

        Empty if nothing touched as much as `units_min`.
        """
        units, name = max(
            (count - before.get(name, 0), name) for name, count in self.snapshot().items()
        )
        return name if units >= units_min else ""
