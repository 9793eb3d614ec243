"""Applications in a machine with half the memory that they need, by what it swaps to.

    python -m benchmarks.apps --out FILE [--rounds 1] [--only SETTING] [--size APPLICATION] [--quick]

Redis answers a client that draws keys by a Zipf distribution; a sort goes through all its memory again and again.
What an application needs is measured with enough memory; the machine of all other settings has half of that, beside
what the kernel takes.  Finished cells are kept in FILE: run the same line again and it goes on.
Needs root (namespaces), and the tools of `sh tests/install-tools guest`; fetches redis as Debian packages.
"""

from pathlib import Path
from typing import Any

from benchmarks.apps import programs, redis
from benchmarks.apps.tables import APPLICATIONS, markdown
from benchmarks.swapping import command
from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.command import Benchmark, Context, Sizes
from benchmarks.swapping.guest import Run, Work, measure
from benchmarks.swapping.settings import BY_NAME, ENOUGH

SIZES = tuple(APPLICATIONS)
FULL = Sizes({"enough_mebibytes": 288, "redis": ["130000", "1000", "25000"], "sort": ["128"],
              "seconds_max": 400}, SIZES)  # fmt: skip
QUICK = Sizes({"enough_mebibytes": 192, "redis": ["60000", "1000", "4000"], "sort": ["70"],
               "seconds_max": 240}, SIZES)  # fmt: skip


def prepare(folder: Path, _parameters: dict[str, Any]) -> None:
    """Make the disk."""
    programs.make_disk(folder / "apps.raw")


def run_cell(context: Context, cell: Cell) -> Run:
    """Run an application once."""
    parameters, setting = context.parameters, BY_NAME[cell.setting]
    name = str(cell.size)
    memory = parameters["enough_mebibytes"]
    if setting is not ENOUGH:
        memory = half_mebibytes(context.cells, name)
    work = Work(context.folder / "apps.raw", (name, *parameters[name]), parameters["seconds_max"])
    return measure(context.booted, setting, memory, work)


def half_mebibytes(cells: Cells, name: str) -> int:
    """Return the memory of a machine with half of what an application needs.

    Raises:
        ValueError: That is not known: it was not run with enough memory.
    """
    cell = Cell(ENOUGH.name, name)
    need, available = cells.median(cell, "need_kib"), cells.median(cell, "available_kib")
    if need is None or available is None:
        raise ValueError(f"what {name} needs is not known: run --only {ENOUGH.name} first")
    taken = float(cells.parameters["enough_mebibytes"]) - available / 1024
    return round(taken + need / 1024 / 2)


APPS = Benchmark(
    name="apps",
    description=__doc__,
    full=FULL,
    quick=QUICK,
    versions=lambda: [redis.version()],
    prepare=prepare,
    run_cell=run_cell,
    markdown=markdown,
)

if __name__ == "__main__":
    command.main(APPS)
