"""The command line of a benchmark of swapping guests: cells in turn, each kept as it ends."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.swapping import guest, swap_areas
from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.guest import Outcome, Run
from benchmarks.swapping.settings import BY_NAME, SETTINGS, Setting
from tests.guest.image import Image


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a table is made with: sizes and limits by name, and the sizes of its cells."""

    parameters: dict[str, Any]
    sizes: Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Context:
    """What each run of a cell gets."""

    booted: Image
    folder: Path
    cells: Cells

    @property
    def parameters(self) -> dict[str, Any]:
        return self.cells.parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One of them.

    `prepare` makes the disks in the folder, `run_cell` runs a cell once, `markdown` makes the tables.
    """

    name: str
    description: str | None
    full: Sizes
    quick: Sizes
    versions: Callable[[], list[str]]
    prepare: Callable[[Path, dict[str, Any]], None]
    run_cell: Callable[[Context, Cell], Run]
    markdown: Callable[[Cells], list[str]]


def main(benchmark: Benchmark, argv: Sequence[str] | None = None) -> None:
    """Run what is missing in the file, and print the tables."""
    chosen = _parse(benchmark, argv)
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{harness.SYSTEM_PATH}"
    signal.signal(signal.SIGTERM, harness.end_in_order)
    sizes = benchmark.quick if chosen.quick else benchmark.full
    chosen_sizes = [each for each in sizes.sizes if not chosen.size or str(each) in chosen.size]
    settings = [each for each in SETTINGS if not chosen.only or each.name in chosen.only]
    try:
        guest.need_tools()
        swap_areas.need(settings)
        with harness.temp_dir() as folder:
            booted = guest.boot_image()
            benchmark.prepare(folder, sizes.parameters)
            machine = machine_lines(benchmark)
            cells = Cells.open(chosen.out, sizes.parameters, machine)
            print("\n".join(machine), flush=True)
            context = Context(booted, folder, cells)
            for cell in missing(cells, settings, chosen_sizes, chosen.rounds):
                print_run(cell, kept_run(benchmark, context, cell))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (harness.Skipped, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    print("", *benchmark.markdown(cells), sep="\n")


def missing(
    cells: Cells, settings: Sequence[Setting], sizes: Sequence[int | str], rounds: int
) -> Iterator[Cell]:
    """Yield the cells to run, in rounds and by rising size; look after each at what is kept by now."""
    for round_ in range(rounds):
        for size in sizes:
            for setting in settings:
                cell = Cell(setting.name, size)
                smaller = [each for each in sizes if isinstance(size, int) and int(each) <= size]
                has_failed = any(cells.failure(Cell(setting.name, each)) for each in smaller)
                if len(cells.runs.get(cell, [])) <= round_ and not has_failed:
                    yield cell


def kept_run(benchmark: Benchmark, context: Context, cell: Cell) -> Run:
    """Run a cell and keep what it gave, unless the run itself went wrong: that is tried again another time."""
    run = benchmark.run_cell(context, cell)
    if differs(context.cells, cell, run):
        print("the output differs from that of other settings: a page was wrong", file=sys.stderr)
        run = replace(run, outcome=Outcome.FAILED)
    if run.outcome is not Outcome.FAILED:
        context.cells.add(cell, run)
    return run


def differs(cells: Cells, cell: Cell, run: Run) -> bool:
    """Whether a run that was done has another output than those before it, by its checksum if it has one."""
    if run.outcome is not Outcome.DONE or "checksum" not in run.figures:
        return False
    others = {
        each.figures["checksum"]
        for other, runs in cells.runs.items()
        for each in runs
        if each.outcome is Outcome.DONE and (isinstance(cell.size, int) or other.size == cell.size)
    }
    return bool(others - {run.figures["checksum"]})


def print_run(cell: Cell, run: Run) -> None:
    """Print one line."""
    figures = run.figures
    stalled = figures.get("all_stalled_us", 0) / 1e6
    print(
        f"  {cell.setting:10} {cell.size!s:6} {run.outcome:14}"
        f" {figures.get('seconds', 0):7.1f} s, stalled {stalled:6.1f} s,"
        f" {figures.get('pswpin', 0):8,.0f} pages in ({figures.get('fetched_pages', 0):,.0f} from peers),"
        f" {figures.get('pswpout', 0):8,.0f} out"
        f"  (load {run.load:.1f}, {run.wall_seconds:.0f} s in all)",
        flush=True,
    )


def machine_lines(benchmark: Benchmark) -> list[str]:
    """Say what the figures are measured on and with; the load is kept with each run."""
    host, libraries, loops = harness.machine_lines()
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)  # fmt: skip
    return [
        host,
        libraries.partition("; load")[0],
        loops,
        f"{qemu.stdout.splitlines()[0]}, TCG, one virtual processor",
        f"guest: Linux {guest.kernel_release()}, {', '.join(benchmark.versions())}",
        *(f"{each.name}: {each.disk}" for each in SETTINGS if each.disk and not each.has_ramster),
        f"links between nodes: {swap_areas.RATE}, no added latency",
    ]


def _parse(benchmark: Benchmark, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{benchmark.name}",
        description=benchmark.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, help="the file of finished cells; without it none is kept"
    )
    parser.add_argument("--rounds", type=int, default=1, help="runs of each cell")
    parser.add_argument(
        "--only", action="append", choices=sorted(BY_NAME), help="this setting (may be repeated)"
    )
    parser.add_argument(
        "--size", action="append", help="this size (may be repeated): N, or an application"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: its figures mean nothing"
    )
    return parser.parse_args(argv)
