"""The compiled loops are built from what is released, and an installation does without them."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from packages.environment import packages_of_project
from packages.release import ROOT
from tests.helpers.requirements import require_compiled, require_tool

pytestmark = pytest.mark.slow

NEEDS = "needs a C compiler, python3-dev, liblz4-dev and libxxhash-dev"
USE = (
    "from ramsterd.core.arena import HeapMapping; from ramsterd.core.store import Store; "
    "from ramsterd.core.versions import StoreLimits; from ramsterd import compiled; "
    "Store(HeapMapping, StoreLimits(budget_bytes=1 << 20, budget_bytes_max=1 << 20, pages_max=99)); "
    "print(compiled.loops is not None, compiled.WHY_NOT)"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a source distribution has."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("sdist")
    # Of a copy, for the list of files would be left in the tree.
    copy = folder / "copy"
    for package in packages_of_project():
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    for name in ("setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    setup(copy, "sdist", "--dist-dir", str(folder))
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.glob("ramster-*/"))


def setup(
    folder: Path, *arguments: str, is_ok: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run setup.py as an installer does; without optimising, which takes most of the time."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "CFLAGS": "-O0", "PYTHONPATH": "", **environment},
    )  # fmt: skip
    assert (done.returncode == 0) == is_ok, done.stderr
    return done


def use(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    return done.stdout.strip()


def built(folder: Path) -> list[Path]:
    return list(folder.rglob("_loops*.so"))


def test_a_source_distribution_builds_the_loops(source: Path, tmp_path: Path) -> None:
    require_tool("gcc")
    require_compiled()
    setup(source, "build", "--build-base", str(tmp_path), RAMSTER_EXTENSION="require")
    (library,) = tmp_path.glob("lib*")
    assert len(built(library)) == 1
    for package in ("config", "net", "nodemanager", "heartbeat"):
        assert (library / package / "__init__.py").exists()
    assert not list(library.rglob("*.[ch]"))
    assert use(library) == "True"


def test_without_a_compiler_python_does_the_work(source: Path, tmp_path: Path) -> None:
    done = setup(source, "build", "--build-base", str(tmp_path), CC="false")
    assert [line for line in done.stderr.splitlines() if NEEDS in line] != []
    (library,) = tmp_path.glob("lib*")
    assert built(library) == []
    found = use(library)
    assert found == "False not built"


def test_who_requires_the_loops_gets_no_installation_without_them(
    source: Path, tmp_path: Path
) -> None:
    setup(
        source, "build_ext", "--build-lib", str(tmp_path), "--build-temp", str(tmp_path),
        is_ok=False, CC="false", RAMSTER_EXTENSION="require",
    )  # fmt: skip


def test_who_wants_none_needs_no_compiler(source: Path, tmp_path: Path) -> None:
    done = setup(
        source, "build_ext", "--build-lib", str(tmp_path), CC="false", RAMSTER_EXTENSION="no"
    )
    assert NEEDS not in done.stderr
    assert built(tmp_path) == []
