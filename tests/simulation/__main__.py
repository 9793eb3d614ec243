"""Storms by the hundred: each seed is a cluster, its programs and its faults, on a virtual clock.

    python -m tests.simulation [--seeds 200] [--first 0]     one line for each seed that fails
    python -m tests.simulation --seed N                      that one again, with its trace

The exit status is 1 if any failed, 130 after Ctrl-C.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence

from tests.simulation.seeds import Outcome, run_seed
from tests.simulation.storm import STEPS

SEEDS = 200
INTERRUPTED = 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run storms.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default {SEEDS})")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="replay this one and print its trace")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each (default {STEPS})")
    return parser.parse_args(arguments)


def replay(seed: int, steps: int) -> int:
    """Run one seed and print its trace: when, who, what, which page."""
    outcome = run_seed(seed, steps=steps)
    print("\n".join(outcome.trace))
    if outcome.failure:
        print(f"seed {seed} failed: {outcome.failure}")
    return int(bool(outcome.failure))


def tell(outcome: Outcome, steps: int) -> str:
    """Return the line of a failing seed."""
    again = f"make simulate SEED={outcome.seed}"
    if steps != STEPS:
        again = f"python -m tests.simulation --seed {outcome.seed} --steps {steps}"
    return f"seed {outcome.seed} failed at {outcome.seconds:.4f} s: {outcome.failure}; {again}"


def summary(done: int, failed: list[int], seconds: float, seen: Counter[str]) -> str:
    crashes = sum(seen[each] for each in ("crash", "restart", "leave"))
    return (
        f"{done} seeds, {len(failed)} failed; {seconds:.0f} virtual seconds, "
        f"{seen['STORED']} puts, {seen['hits']} pages read, {crashes} lives ended, {seen['LOST']} losses told"
    )


def run_many(seeds: range, steps: int) -> int:
    """Run many, tell which failed, and sum up, also when interrupted."""
    failed: list[int] = []
    done, seconds, seen = 0, 0.0, Counter[str]()
    status = 0
    try:
        for seed in seeds:
            show_progress(f"{done} of {len(seeds)} seeds, {len(failed)} failed")
            outcome = run_seed(seed, steps=steps)
            done, seconds, seen = done + 1, seconds + outcome.seconds, seen + outcome.seen
            if outcome.failure:
                failed.append(seed)
                show_progress("")
                print(tell(outcome, steps), flush=True)
    except KeyboardInterrupt:
        status = INTERRUPTED
    show_progress("")
    print(summary(done, failed, seconds, seen))
    return 1 if failed else status


def show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    if given.seed is not None:
        return replay(given.seed, given.steps)
    return run_many(range(given.first, given.first + given.seeds), given.steps)


if __name__ == "__main__":
    logging.disable()  # faults make noise; the trace tells them
    sys.exit(main())
