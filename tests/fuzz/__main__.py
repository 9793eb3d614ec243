"""Fuzz every target, or some: python -m tests.fuzz [TARGET …] [--seconds 60] [--jobs 1].

    python -m tests.fuzz TARGET --replay FILE …    run inputs, or all inputs of a folder, once; needs no atheris
    python -m tests.fuzz --write-seeds             write the kept seeds anew, after a format has changed

Each target runs in a process of its own and prints one line.  Findings and new inputs go to build/fuzz/TARGET.  The
exit status is 1 if there was a finding, 130 after Ctrl-C.
"""

import argparse
import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.runs import Run
from tests.fuzz.target import CORPUS, NAMES, load


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time (1)")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write-seeds", action="store_true")
    options = parser.parse_args()
    names = options.targets or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no target {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    if options.replay:
        if len(options.targets) != 1:
            parser.error("--replay takes the inputs of one target")
        # Warnings about what strangers do are right, and many.
        logging.disable()
        return replay(names[0], options.replay)
    if options.write_seeds:
        return write_seeds(names)
    # Ended by a signal, it must end its workers too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return fuzz([Run(name, options.seconds) for name in names], options.jobs)


def fuzz(runs: list[Run], jobs: int) -> int:
    """Run the targets, some at a time; print each when it has ended."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for run in pool.map(Run.finish, runs):
                print(run.report(), flush=True)
        except KeyboardInterrupt:
            print("fuzz: interrupted; findings so far are kept in build/fuzz", file=sys.stderr)
            pool.shutdown(wait=False, cancel_futures=True)
            for run in runs:
                run.stop()
            return 130
    failed = [run.name for run in runs if run.has_failed]
    print(f"fuzz: FAILED: {', '.join(failed)}" if failed else "fuzz: all of it held")
    return 1 if failed else 0


def replay(name: str, paths: list[Path]) -> int:
    """Run inputs once; say what each reached, or show its traceback."""
    target = load(name)
    status = 0
    for path in inputs_in(paths):
        try:
            reached = target.check(path.read_bytes())
        except Exception:
            print(f"{path}: FAILED")
            traceback.print_exc()
            status = 1
        else:
            print(f"{path}: {', '.join(sorted(reached)) or 'nothing'}")
    return status


def inputs_in(paths: list[Path]) -> Iterator[Path]:
    """Yield the files, and those of the folders."""
    for path in paths:
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def write_seeds(names: list[str]) -> int:
    """Write what our encoders say now; kept findings stay."""
    for name in names:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        for seed, data in load(name).seeds().items():
            (folder / f"seed-{seed}").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
