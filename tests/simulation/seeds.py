"""One seed, run to its end or to its failure."""

import logging
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from trio.testing import MockClock

from tests.simulation.storm import STEPS, Storm, make_storm

# A bug of the product and one of the simulator look alike here: whatever is raised ends the seed.
FRAMES_TOLD: Final = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    mix: str
    seconds: float  # of virtual time
    seen: Counter[str]
    trace: list[str]
    failure: str  # empty: none


def run_seed(seed: int, *, steps: int = STEPS) -> Outcome:
    """Run the storm of a seed in a loop of its own."""
    clock = MockClock()
    storms: list[Storm] = []
    failure = ""

    async def run() -> None:
        storms.append(make_storm(seed, clock))
        storms[0].run(steps)

    try:
        with silence():
            trio.run(run, clock=clock)
    except Exception as error:
        failure = describe(error)
    storm = storms[0]
    for number in list(storm.programs):
        storm.on_gone(number)
    trace = storm.cluster.trace
    last = trace[-1].split()[0]
    return Outcome(seed, str(storm.mix), float(last), storm.seen, trace, failure)


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing: faults make noise, and the trace tells them."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def describe(error: Exception) -> str:
    """Return one line: what failed, and where."""
    text = str(error).partition("\n")[0] or "no reason given"
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_TOLD:]
    where = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return f"{type(error).__name__}: {text} ({where})"
