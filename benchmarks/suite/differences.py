"""Two revisions that measured the same, in turn: by how much they differ, and whether that is more than noise.  Pure."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.harness import number
from benchmarks.suite.works import Measured, is_more_better

# Of two sides that are alike, with so many rounds each, one is wholly above the other in 2 of 70 cases.
ROUNDS_MIN = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """The figures of one quantity, round by round."""

    base: Sequence[float]
    now: Sequence[float]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.base), statistics.median(self.now)

    @property
    def ratio(self) -> float:
        """Now, by base."""
        base, now = self.medians
        return now / base if base else 1.0

    @property
    def spread(self) -> float:
        """Half of what lies between the smallest and the largest, by the median: of the noisier side."""
        sides = zip((self.base, self.now), self.medians, strict=True)
        return max(
            (max(side) - min(side)) / 2 / median if median else 0.0 for side, median in sides
        )

    @property
    def is_beyond_spread(self) -> bool:
        """Whether no round of one side reaches any round of the other."""
        return min(self.now) > max(self.base) or max(self.now) < min(self.base)

    def told(self, more: str, less: str) -> str:
        """Say what to think of it."""
        if min(len(self.base), len(self.now)) < ROUNDS_MIN:
            return "too few rounds"
        if not self.is_beyond_spread:
            return "within the spread"
        return more if self.ratio > 1 else less


def heading(scene: str) -> str:
    """Return the first line of a scene's table."""
    return _line(scene, "", "base", "now", "ratio", "spread", "")


def lines(work: str, unit: str, base: Sequence[Measured], now: Sequence[Measured]) -> Iterator[str]:
    """Yield the line of a work, and one for each process that both sides have."""
    words = ("faster", "slower") if is_more_better(unit) else ("slower", "faster")
    yield _told(
        f"  {work}", unit, _of([each.value for each in side] for side in (base, now)), words
    )
    for name in base[0].processor_us:
        if name in now[0].processor_us:
            times = _of([each.processor_us[name] for each in side] for side in (base, now))
            yield _told(f"    {name}, processor time a page", "us", times, ("more", "less"))


def _of(sides: Iterator[list[float]]) -> Difference:
    base, now = sides
    return Difference(base, now)


def _told(what: str, unit: str, found: Difference, words: tuple[str, str]) -> str:
    base, now = map(number, found.medians)
    spread = f"±{100 * found.spread:.1f} %"
    return _line(what, unit, base, now, f"{found.ratio:.2f}x", spread, found.told(*words))


def _line(what: str, unit: str, base: str, now: str, ratio: str, spread: str, told: str) -> str:
    return f"{what:42} {unit:7} {base:>9} {now:>9} {ratio:>7} {spread:>9}  {told}".rstrip()
