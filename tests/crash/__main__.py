"""Ends processes at random, seed after seed: `python -m tests.crash --first 0 --count 1000`."""

import sys

import click

from tests.crash.crash_runs import run_seed


@click.command()
@click.option("--first", type=int, default=0, show_default=True)
@click.option("--count", type=int, default=1000, show_default=True)
@click.option(
    "--operations",
    type=int,
    default=1,
    show_default=True,
    help="Operations that a process ends in.",
)
def main(first: int, count: int, operations: int) -> None:
    """Run seeds; stop at the first that fails."""
    ended = 0
    for seed in range(first, first + count):
        try:
            ended += run_seed(seed, operations_ended_in=operations)
        except BaseException:
            click.echo(f"seed {seed} failed", err=True)
            raise
    click.echo(f"{count} seeds, {ended} processes ended, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
