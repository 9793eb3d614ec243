"""What each storm is made of: a seed draws nodes, copies, programs and faults.

Swarm testing: a storm that never crashes a node fills its peers, one that never cuts a link has long queues; one that
can do everything does nothing for long.
"""

import random
from dataclasses import dataclass
from typing import Final

from tests.simulation.programs import Cache, Swap, Thrash

MIB: Final = 1 << 20
BUDGETS: Final = (MIB, 2 * MIB, 2 * MIB, 4 * MIB)
# The mean zpage of `pages.make_page`, with what a block wastes.
ZPAGE_BYTES_MEAN: Final = 1850
# At most one on the disk of a node, and one on its cache: each believes that it is alone.
PROGRAMS: Final[tuple[tuple[type[Swap | Cache | Thrash], ...], ...]] = (
    (Swap,), (Thrash,), (Cache,), (Swap, Cache), (Thrash, Cache),
)  # fmt: skip
FAULTS: Final = (
    "cut", "half_open", "link", "part", "isolate", "clog", "slow", "lossy", "pause",
    "crash", "restart", "leave", "drain", "full", "flip", "down",
)  # fmt: skip
FAULT_WEIGHTS: Final = (0.0, 0.0, 0.005, 0.02, 0.1)
HEAL_WEIGHTS: Final = (0.02, 0.1)
DETECTOR_CHANCE: Final = 0.75
# A node without programs only lends its memory.
PROGRAM_CHANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """A program on a node, and how many pages it uses."""

    kind: type[Swap | Cache | Thrash]
    pages: int


@dataclass(frozen=True, slots=True)
class Mix:
    """One storm's ingredients."""

    budgets: tuple[int, ...]
    has_detector: bool
    knobs: dict[str, float]
    programs: dict[int, list[Program]]
    faults: dict[str, float]
    wait_weight: float

    def __str__(self) -> str:
        """Return it in one line."""
        programs = " ".join(
            f"node{number}:{'+'.join(program.kind.name for program in programs)}"
            for number, programs in self.programs.items()
        )
        faults = " ".join(name for name, weight in self.faults.items() if weight)
        detector = "detector" if self.has_detector else "told"
        copies = f"copies={self.knobs['copies']:g} (least {self.knobs.get('copies_min', 1):g})"
        sizes = "+".join(str(each // MIB) for each in self.budgets)
        return f"{sizes} MiB, {copies}, {detector}, {programs}; {faults}"


def draw(rng: random.Random) -> Mix:
    """Draw a storm."""
    nodes = rng.randint(3, 6)
    budgets = tuple(rng.choice(BUDGETS) for _ in range(nodes))
    copies = rng.choice([1, 2, 2, 3])
    programs: dict[int, list[Program]] = {}
    for number in range(nodes):
        if number == 0 or rng.random() < PROGRAM_CHANCE:
            programs[number] = [
                Program(kind, _pages(rng, kind, budgets, number, copies))
                for kind in rng.choice(PROGRAMS)
            ]
    return Mix(
        budgets=budgets,
        has_detector=rng.random() < DETECTOR_CHANCE,
        knobs=_knobs(rng, copies),
        programs=programs,
        faults={
            **{name: rng.choice(FAULT_WEIGHTS) for name in FAULTS},
            "heal": rng.choice(HEAL_WEIGHTS),
        },
        wait_weight=rng.choice([0.3, 1.0]),
    )


def _pages(
    rng: random.Random,
    kind: type[Swap | Cache | Thrash],
    budgets: tuple[int, ...],
    number: int,
    copies: int,
) -> int:
    if kind is Thrash:
        return int(1.2 * (budgets[number] + sum(budgets) / copies) / ZPAGE_BYTES_MEAN)
    return int(rng.uniform(0.5, 2.0) * budgets[number] / ZPAGE_BYTES_MEAN)


def _knobs(rng: random.Random, copies: int) -> dict[str, float]:
    return {
        "copies": copies,
        "copies_min": rng.choice([1, 1, copies]),
        "request_seconds_max": 1.0,
        "fetch_seconds_max": 3.0,
        "put_wait_seconds_max": 2.0,
        "gets_in_flight_max": rng.choice([1, 3, 32]),
        "puts_in_flight_max": rng.choice([1, 4]),
        "rebuild_pages_per_second": rng.choice([200, 10_000]),
        "repatriate_seconds": rng.choice([0.5, 15.0]),
        "repatriate_pages_per_second": rng.choice([0, 500, 5000]),
        "ephemeral": rng.random() < 0.8,
        "read_ahead_bytes_max": rng.choice([0, 1 << 18, 1 << 22]),
    }
