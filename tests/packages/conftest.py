"""One package for all tests of a run, whichever workers they are in; an image for those that are long."""

import fcntl
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packages.deb import build
from packages.environment import INTERPRETER
from packages.image.build import build as build_image
from ramsterd import __version__
from tests.helpers.clean_root import CleanRoot, make_base
from tests.helpers.requirements import require_root, require_tool
from tests.packages.layouts import judge


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


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of the image of this tree."""
    require_tool("dpkg-query", INTERPRETER)
    file = build_image(tmp_path_factory.mktemp("image"))
    assert file.name.startswith(f"ramster-{__version__}-")
    with tarfile.open(file) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a small Debian."""
    folder = tmp_path_factory.mktemp("debian") / "base"
    make_base(folder)
    yield folder
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Iterator[CleanRoot]:
    """Return a copy of it, with processes."""
    # Paths of sockets are short.
    folder = tmp_path / "root"
    subprocess.run(["cp", "-a", base, folder], check=True)
    with CleanRoot(folder) as found:
        yield found
    subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


@pytest.fixture
def unpacked(image: dict[str, bytes], tmp_path: Path) -> Iterator[Path]:
    """Return a folder with what a container sees."""
    require_root()
    root = tmp_path / "root"
    root.mkdir()
    for layer in judge(image)[1]:
        subprocess.run(["tar", "--extract", "--directory", root], input=layer, check=True)
    yield root
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)
