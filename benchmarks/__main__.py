"""All benchmarks, from the inside out.

    python -m benchmarks [--rounds 5] [--only NAME] [--quick] [--no-keep] [--out FILE]

The suite comes first: the rows with bars (benchmarks/suite/bars.py).  Its figures are added to benchmarks/history.jsonl
as one record, those of --quick only to a FILE that is named.  docs/benchmarks.md says how long each takes.
The figures of --quick mean nothing: it shows that everything runs.

Exit status: 0 if every bar of the suite was reached, 1 if not, or if a row could not be measured.
"""

import os
import sys
from pathlib import Path

from benchmarks import (
    attach,
    client_ends,
    failover,
    harness,
    heartbeat,
    memory,
    passes,
    polling,
    remote_passes,
    restart,
    scale,
    stalls,
    tmem,
)
from benchmarks.suite import history
from benchmarks.suite.running import benchmark
from benchmarks.suite.scenes import SCENES

BENCHMARKS: dict[str, harness.Benchmark] = {
    **{scene: benchmark(scene) for scene in SCENES},
    "tmem": tmem.run,
    "remote_passes": remote_passes.run,
    "memory": memory.run,
    "passes": passes.run,
    "scale": scale.run,
    "polling": polling.run,
    "attach": attach.run,
    "restart": restart.run,
    "client_ends": client_ends.run,
    "heartbeat": heartbeat.run,
    "failover": failover.run,
    "stalls": stalls.run,
}


def main() -> int:
    """Run what was chosen, say which bars were missed, and keep the rows."""
    parser = harness.arguments(BENCHMARKS, __doc__)
    parser.add_argument("--out", type=Path, help="add the record to this file")
    parser.add_argument("--no-keep", action="store_true", help="add it to none")
    chosen = parser.parse_args()
    options = harness.options_of(chosen)
    load = os.getloadavg()[0]
    path = chosen.out or (None if chosen.quick else history.HISTORY)
    try:
        harness.run_chosen(BENCHMARKS, chosen, options)
    finally:
        # Rows that were finished before Ctrl-C count, too.
        if options.outcome.rows and path is not None and not chosen.no_keep:
            keep(options, load, path)
        print_outcome(options.outcome)
    return 0 if options.outcome.is_good(is_quick=chosen.quick) else 1


def keep(options: harness.Options, load: float, path: Path) -> None:
    """Add a record of the rows to a file."""
    record = history.record_of(
        options.outcome.rows, rounds=options.rounds, is_quick=options.is_quick, load=load
    )
    history.append(path, record)
    print(f"\n{len(options.outcome.rows)} rows kept in {path}")


def print_outcome(outcome: harness.Outcome) -> None:
    """Sum up the bars of the suite."""
    if outcome.judged:
        missed = [name for name, is_reached in outcome.judged if not is_reached]
        print(f"\n{len(outcome.judged) - len(missed)} of {len(outcome.judged)} bars reached")
        for name in missed:
            print(f"  not reached: {name}")
    for name in outcome.failures:
        print(f"  FAILED: {name}")


if __name__ == "__main__":
    sys.exit(main())
