"""Runs that choose their operations and their ends at random, one a seed."""

import random

from tests.crash.crash_model import CrashModel
from tests.crash.crash_operations import RandomOperations, make_pools


def run_seed(seed: int, *, operations_ended_in: int = 3) -> int:
    """Do operations at random; end a process in each of the last few.  Return how many ended."""
    rng = random.Random(seed)
    crash = CrashModel()
    make_pools(crash.model)
    operations = RandomOperations(rng)
    for _ in range(rng.randint(0, 60)):
        operations.choose(crash.model)(crash.model)
        crash.model.check_reads()  # which pages were evicted
    return sum(
        crash.crash_everywhere(operations.choose(crash.model), rng=rng, states_max=10)
        for _ in range(operations_ended_in)
    )
