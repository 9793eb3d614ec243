"""Rows: a work measured in rounds, its bars judged, as lines to read and as JSON to keep.  Pure."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Samples, number, turns
from benchmarks.suite.bars import RowBar
from benchmarks.suite.works import OURS, Measured

# Figures are kept with so many digits.
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Judged:
    """A bar and the figure that it judges."""

    row_bar: RowBar
    figure: float

    @property
    def is_reached(self) -> bool:
        return self.row_bar.bar.is_reached(self.figure)

    def __str__(self) -> str:
        return f"bar {self.row_bar.bar}: {'reached' if self.is_reached else 'not reached'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One work: what each contestant measured, round by round; ours first."""

    scene: str
    work: str
    unit: str
    rounds: dict[str, list[Measured]]
    bars: Sequence[RowBar] = ()

    @property
    def name(self) -> str:
        return f"{self.scene}: {self.work}"

    def samples(self, contestant: str) -> Samples:
        """Return the figures of one contestant."""
        return Samples(tuple(each.value for each in self.rounds[contestant]))

    def medians(self) -> dict[str, float]:
        """Return the median of each contestant."""
        return {contestant: self.samples(contestant).median for contestant in self.rounds}

    def processor_us(self, contestant: str) -> dict[str, float]:
        """Return the median processor time of a page, by process."""
        first, *_ = self.rounds[contestant]
        return {
            name: statistics.median(each.processor_us[name] for each in self.rounds[contestant])
            for name in first.processor_us
        }

    def judged(self) -> list[Judged]:
        """Return the bars whose peers were measured."""
        medians = self.medians()
        figures = [(bar, bar.figure(medians, OURS)) for bar in self.bars]
        return [Judged(bar, figure) for bar, figure in figures if figure is not None]

    def lines(self) -> Iterator[str]:
        """Print: our figure beside each peer's, and what a page costs each process."""
        ours = self.samples(OURS)
        judged = {each.row_bar.peer: each for each in self.judged()}
        peers = [contestant for contestant in self.rounds if contestant != OURS]
        if not peers or "" in judged:
            yield f"  {self.work:36} {ours!s:28} {self.unit:6}{_told(judged.get(''))}"
        for peer in peers:
            theirs = self.samples(peer)
            by = judged.get(peer)
            if by is not None and by.row_bar.by == "difference":
                beside = f"{ours.median - theirs.median:+5.2f} {self.unit}"
            else:
                beside = f"{ours.median / theirs.median:5.2f}x"
            yield (
                f"  {self.work:36} {ours!s:28} {peer} {theirs!s:26} {self.unit:6} {beside}{_told(by)}"
            )
        costs = [
            f"{contestant}: {', '.join(f'{name} {number(us)}' for name, us in used.items())}"
            for contestant in self.rounds
            if (used := self.processor_us(contestant))
        ]
        if costs:
            yield f"    us of processor time a page: {'; '.join(costs)}"

    def to_json(self) -> dict[str, Any]:
        """Return what is kept."""
        return {
            "scene": self.scene,
            "work": self.work,
            "unit": self.unit,
            "rounds": {
                who: [rounded(each.value) for each in measured]
                for who, measured in self.rounds.items()
            },
            "medians": {who: rounded(value) for who, value in self.medians().items()},
            "processor_us": {
                who: {name: rounded(us) for name, us in used.items()}
                for who in self.rounds
                if (used := self.processor_us(who))
            },
            "bars": [
                {
                    "by": each.row_bar.by,
                    "peer": each.row_bar.peer,
                    "bar": str(each.row_bar.bar),
                    "figure": rounded(each.figure),
                    "is_reached": each.is_reached,
                }
                for each in self.judged()
            ],
        }


def _told(judged: Judged | None) -> str:
    return "" if judged is None else f"  {judged}"


def rounded(value: float) -> float:
    """Return a figure with as many digits as are kept."""
    return float(f"{value:.{DIGITS}g}")


def take_turns(
    rounds: int, contestants: Sequence[str], measure: Callable[[str], Measured]
) -> dict[str, list[Measured]]:
    """Let each measure once a round."""
    found: dict[str, list[Measured]] = {each: [] for each in contestants}
    for place in turns(rounds, len(contestants)):
        found[contestants[place]].append(measure(contestants[place]))
    return found
