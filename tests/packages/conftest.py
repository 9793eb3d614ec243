"""One package for all tests of a run, whichever workers they are in."""

import fcntl
import subprocess
from pathlib import Path

import pytest

from packages.deb import build
from packages.environment import INTERPRETER
from tests.helpers.requirements import require_tool


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the package of this tree."""
    require_tool("dpkg-deb", INTERPRETER)
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder = shared / "package"
    with (shared / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return next(folder.glob("*.deb"), None) or build(folder)


@pytest.fixture(scope="session")
def content(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what is in the package, its control files in DEBIAN."""
    folder = tmp_path_factory.mktemp("content") / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    return folder
