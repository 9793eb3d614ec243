"""The file of finished cells: runs are kept as they end, so that an interrupted table goes on where it was.

A cell is a setting and a size.  A setting in which a size was too slow, or did not fit, is not run at larger ones.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.swapping.guest import Outcome, Run


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """Its place in the table."""

    setting: str
    size: int | str


@dataclass(slots=True)
class Cells:
    """All runs so far.

    `parameters`: sizes and limits that make runs comparable; a file with others is refused.
    """

    path: Path | None
    parameters: dict[str, Any]
    machine: list[str]
    runs: dict[Cell, list[Run]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | None, parameters: dict[str, Any], machine: list[str]) -> "Cells":
        """Go on with a file, or begin one; without a path nothing is kept.

        Raises:
            ValueError: The file has runs of other sizes.
        """
        if path is None or not path.exists():
            return cls(path, parameters, machine)
        found = cls.load(path)
        if found.parameters != parameters:
            raise ValueError(
                f"{path} has figures for {found.parameters}, expected {parameters}: choose another file"
            )
        found.machine = machine
        return found

    @classmethod
    def load(cls, path: Path) -> "Cells":
        """Read a file."""
        saved = json.loads(path.read_text())
        runs = {
            Cell(cell["setting"], cell["size"]): [
                Run(**run | {"outcome": Outcome(run["outcome"])}) for run in cell["runs"]
            ]
            for cell in saved["cells"]
        }
        return cls(path, saved["parameters"], saved["machine"], runs)

    def add(self, cell: Cell, run: Run) -> None:
        """Keep a run, and write the file anew."""
        self.runs.setdefault(cell, []).append(run)
        if self.path is not None:
            self._save(self.path)

    def _save(self, path: Path) -> None:
        cells = [
            {"setting": cell.setting, "size": cell.size, "runs": [asdict(run) for run in runs]}
            for cell, runs in self.runs.items()
        ]
        saved = {"parameters": self.parameters, "machine": self.machine, "cells": cells}
        written = path.with_suffix(".new")
        written.write_text(json.dumps(saved, indent=1) + "\n")
        written.replace(path)

    def median(self, cell: Cell, figure: str) -> float | None:
        """Return the median of a figure over the runs of a cell that were done."""
        values = sorted(
            run.figures[figure]
            for run in self.runs.get(cell, [])
            if run.outcome is Outcome.DONE and figure in run.figures
        )
        return values[len(values) // 2] if values else None

    def failure(self, cell: Cell) -> Outcome | None:
        """Return how a cell failed, if a run of it did."""
        bad = [run.outcome for run in self.runs.get(cell, []) if run.outcome is not Outcome.DONE]
        return bad[0] if bad else None

    def first_failure(self, setting: str, sizes: Iterable[int]) -> tuple[int, Outcome] | None:
        """Return the smallest of some sizes at which a setting failed, and how."""
        for size in sorted(sizes):
            failure = self.failure(Cell(setting, size))
            if failure is not None:
                return size, failure
        return None
