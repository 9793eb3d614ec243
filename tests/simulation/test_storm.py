"""The swarm, and that a seed is a run."""

import os
import subprocess
import sys

from tests.simulation.seeds import run_seed

# Few of them: what is compared is the trace.
STEPS = 60


def test_storm(seed: int) -> None:
    """Programs and faults: right pages, no resurrection, books that balance, and incarnation afterwards."""
    outcome = run_seed(seed)
    assert not outcome.failure, outcome.failure


def trace_of(seed: int, hash_seed: int) -> list[str]:
    """Return the trace of a seed from a process of its own, whose hashes of strings differ from others'."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--steps", str(STEPS)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout.splitlines()


def test_a_seed_is_a_run() -> None:
    """The same seed in two processes gives the same trace, event by event; another seed gives another."""
    trace = trace_of(1, hash_seed=1)
    assert len(trace) > 1000
    assert trace == trace_of(1, hash_seed=2)
    assert trace != run_seed(6, steps=STEPS).trace
