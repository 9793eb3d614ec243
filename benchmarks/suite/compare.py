"""Compare this code with another revision of it, on this machine: `make bench-compare BASE=REV`.

    python -m benchmarks.suite.compare REV [--rounds 5] [--only SCENE] [--work TEXT] [--quick]
        [--base-environment NAME=VALUE]

Both revisions serve at the same time and are asked in turn, round by round: base, now, now, base.  Only ramster is
measured, not what it is compared with elsewhere.  A difference counts if no round of one side reaches any round of
the other.  REV is checked out into a temporary worktree; if it needs other packages, they are installed beside it.
Files of this revision count as they are, committed or not.  With --base-environment the same revision can be compared
with itself in another environment.

Exit status: 0, or 1 if a row could not be measured.
"""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import harness
from benchmarks.suite import differences, history, revisions
from benchmarks.suite.asking import HERE, Announced, Failed, Side, Worker, worker
from benchmarks.suite.rows import take_turns
from benchmarks.suite.scenes import SCENES
from benchmarks.suite.works import OURS, Setting

BASE, NOW = "base", "now"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared, and how often."""

    sides: dict[str, Side]
    options: harness.Options
    text: str = ""

    def run_scene(self, scene: str) -> int:
        """Print the table of a scene; return how many rows could not be measured."""
        print(f"\n{differences.heading(scene)}", flush=True)
        setting = Setting(is_quick=self.options.is_quick, with_peers=False)
        with ExitStack() as stack:
            workers = {}
            for name, side in self.sides.items():
                try:
                    workers[name] = stack.enter_context(worker(scene, setting, side))
                except harness.Skipped as skipped:
                    print(f"  skipped: {skipped}", flush=True)
                    return 0
                except Failed as failed:
                    print(f"  FAILED: {name}: {failed}", flush=True)
                    return 1
            print_loops({name: each.loops for name, each in workers.items()})
            works = [each for each in workers[NOW].works if self.text.lower() in each.name.lower()]
            return sum(self.run_work(workers, work) for work in works)

    def run_work(self, workers: dict[str, Worker], work: Announced) -> int:
        """Print the lines of a work; return 1 if it could not be measured."""
        seconds = self.options.seconds(work.seconds)
        try:
            found = take_turns(
                self.options.rounds,
                tuple(workers),
                lambda side: workers[side].measure(work.name, OURS, seconds),
            )
        except Failed as failed:
            print(f"  {work.name}: FAILED: {failed}", flush=True)
            return 1
        told = differences.lines(work.name, work.unit, found[BASE], found[NOW])
        print("\n".join(told), flush=True)
        return 0


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", metavar="REV")
    harness.add_measuring_arguments(parser, SCENES)
    parser.add_argument("--work", default="", help="only works with this text in their names")
    parser.add_argument(
        "--base-environment", type=variable, action="append", default=[], metavar="NAME=VALUE",
        help="a variable that only the base gets (may be repeated)",
    )  # fmt: skip
    chosen = parser.parse_args()
    harness.use_system_path()
    harness.on_signals(harness.end_in_order)
    try:
        with harness.temp_dir() as folder:
            return compare(chosen, folder)
    except revisions.UnusableRevision as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def print_loops(loops: dict[str, str]) -> None:
    """Say which inner loops the sides run, if they differ: that may be all that a table shows."""
    if len(set(loops.values())) > 1:
        told = "; ".join(f"{side}: {each}" for side, each in loops.items())
        print(f"  inner loops: {told}", flush=True)


def variable(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}, expected NAME=VALUE")
    return name, value


def compare(chosen: argparse.Namespace, folder: Path) -> int:
    """Check out the base, and run all scenes that were chosen."""
    commit = revisions.commit_of(chosen.base)
    with revisions.checked_out(commit, folder) as base:
        options = harness.options_of(chosen)
        sides = {BASE: replace(base, environment=dict(chosen.base_environment)), NOW: HERE}
        print("\n".join(harness.machine_lines()))
        print(f"base: {chosen.base} ({commit[:12]}), now: {history.revision()}")
        print(f"medians of {options.rounds} rounds, in turn")
        comparison = Comparison(sides, options, chosen.work)
        failed = [
            comparison.run_scene(scene) for scene in SCENES if scene in (chosen.only or SCENES)
        ]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
