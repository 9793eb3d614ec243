"""The ancestor's benchmark: `make -jN` in a machine with too little memory, by what it swaps to.

    python -m benchmarks.guest --out FILE [--rounds 1] [--only SETTING] [--quick]

A guest of a machine with 192 MiB compiles twelve files, N at a time; each compiler takes 33 MiB beside its code.
Finished cells are kept in FILE: run the same line again and it goes on.  Half an hour to an hour on two quiet cores.
Needs root (namespaces), and the tools of `sh tests/install-tools guest`.
"""

from pathlib import Path
from typing import Any

from benchmarks.guest import build
from benchmarks.guest.tables import QUICK_SIZES, SIZES, markdown
from benchmarks.swapping import command
from benchmarks.swapping.cells import Cell
from benchmarks.swapping.command import Benchmark, Context, Sizes
from benchmarks.swapping.guest import Run, Work, measure
from benchmarks.swapping.settings import BY_NAME, ENOUGH

FULL = Sizes({"machine_mebibytes": 192, "enough_mebibytes": 1024, "files": 12, "types": 2000,
              "seconds_max": 400}, SIZES)  # fmt: skip
QUICK = Sizes({"machine_mebibytes": 128, "enough_mebibytes": 256, "files": 3, "types": 1000,
               "seconds_max": 240}, QUICK_SIZES)  # fmt: skip


def prepare(folder: Path, parameters: dict[str, Any]) -> None:
    """Make the disk."""
    build.make_disk(folder / "build.raw", parameters["files"], types=parameters["types"])


def run_cell(context: Context, cell: Cell) -> Run:
    """Build once."""
    setting = BY_NAME[cell.setting]
    memory = "enough_mebibytes" if setting is ENOUGH else "machine_mebibytes"
    work = Work(context.folder / "build.raw", (str(cell.size),), context.parameters["seconds_max"])
    return measure(context.booted, setting, context.parameters[memory], work)


BUILD = Benchmark(
    name="guest",
    description=__doc__,
    full=FULL,
    quick=QUICK,
    versions=lambda: [f"gcc {build.compiler_version()}"],
    prepare=prepare,
    run_cell=run_cell,
    markdown=markdown,
)

if __name__ == "__main__":
    command.main(BUILD)
