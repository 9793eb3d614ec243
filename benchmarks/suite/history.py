"""The history of the suite: a line of JSON for each run, the newest last, kept with the code that it measured.

The file is written whole beside itself and put in its place, so that it is never half a file; the oldest runs go when
it has RECORDS_MAX.
"""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.processes import ROOT

HISTORY = ROOT / "benchmarks/history.jsonl"
RECORDS_MAX = 100


def load(path: Path) -> list[dict[str, Any]]:
    """Return all records, the oldest first."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a record, and drop the oldest beyond the limit."""
    records = [*load(path), record][-RECORDS_MAX:]
    written = path.with_name(f"{path.name}.new")
    written.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in records))
    written.replace(path)


def record_of(
    rows: Sequence[dict[str, Any]], *, rounds: int, is_quick: bool, load: float
) -> dict[str, Any]:
    """Return what is kept of a run that ends now; `load` is that of the machine before it began."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": harness.machine(),
        "load": round(load, 1),
        "python": platform.python_version(),
        "loops": harness.loops(),
        "rounds": rounds,
        "is_quick": is_quick,
        "rows": list(rows),
    }


def revision() -> str:
    """Return the commit that is checked out, with "+" if files differ from it; "unknown" outside of a repository."""
    described = _git("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    return described or "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
