"""The benchmarks of swapping guests run: their smoke tests, in as few settings as show all parts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.swapping.guest import Outcome
from tests.guest import image
from tests.helpers.programs import environment
from tests.helpers.requirements import require_namespaces, require_tool
from tests.system.daemons import ROOT

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def tools() -> None:
    require_tool(*image.TOOLS, "make", "mkfs.ext4", "tc")
    require_namespaces()


def smoke(name: str, out: Path, *chosen: str) -> dict[tuple[str, int | str], str]:
    """Run some cells of a benchmark; return how each in the file ended."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--out", str(out), *chosen],
        capture_output=True, check=False, cwd=ROOT, env=environment(), text=True,
    )  # fmt: skip
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode == 0
    cells = json.loads(out.read_text())["cells"]
    return {(cell["setting"], cell["size"]): cell["runs"][0]["outcome"] for cell in cells}


def test_a_build_ends_with_the_same_objects_over_zram_and_over_ramster(tmp_path: Path) -> None:
    ended = smoke("guest", tmp_path / "cells.json", "--only", "zram", "--only", "ramster-1")
    assert ended == {("zram", 3): Outcome.DONE, ("ramster-1", 3): Outcome.DONE}


@pytest.mark.long
def test_applications_run_and_a_later_call_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "cells.json"
    enough = {("enough", "redis"): Outcome.DONE, ("enough", "sort"): Outcome.DONE}
    assert smoke("apps", out, "--only", "enough") == enough
    # What redis needs is known by now.
    ended = smoke("apps", out, "--only", "ramster-2", "--size", "redis")
    assert ended == enough | {("ramster-2", "redis"): Outcome.DONE}
