"""The benchmarks of swapping guests run: their smoke tests, in as few settings as show all parts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.swapping.guest import Outcome
from tests.guest import image
from tests.helpers.requirements import require_namespaces, require_tool
from tests.system.daemons import ROOT, environment

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def tools() -> None:
    require_tool(*image.TOOLS, "make", "mkfs.ext4", "tc")
    require_namespaces()


def smoke(name: str, out: Path, *settings: str) -> dict[tuple[str, int | str], str]:
    """Run a benchmark in some settings; return how each cell ended."""
    chosen = [word for setting in settings for word in ("--only", setting)]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--out", str(out), *chosen],
        capture_output=True, check=False, cwd=ROOT, env=environment(), text=True,
    )  # fmt: skip
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode == 0
    cells = json.loads(out.read_text())["cells"]
    return {(cell["setting"], cell["size"]): cell["runs"][0]["outcome"] for cell in cells}


def test_a_build_ends_with_the_same_objects_over_zram_and_over_a_peer(tmp_path: Path) -> None:
    ended = smoke("guest", tmp_path / "cells.json", "zram", "ramster-1")
    assert ended == {("zram", 3): Outcome.DONE, ("ramster-1", 3): Outcome.DONE}


def test_applications_run_with_half_their_memory(tmp_path: Path) -> None:
    settings = ("enough", "ramster-2")
    ended = smoke("apps", tmp_path / "cells.json", *settings)
    assert set(ended) == {(each, name) for each in settings for name in ("redis", "sort")}
    assert set(ended.values()) == {Outcome.DONE}
