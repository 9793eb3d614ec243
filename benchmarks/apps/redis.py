"""Redis from its Debian packages, without installing it: unpacked below .venv, and copied to a guest's disk."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.guest import image

TREE = image.CACHE / "redis"
# Its name is what makes the program a server; the package of the server itself has only a link.
_PROGRAM = "usr/bin/redis-check-rdb"
_SERVER = "usr/bin/redis-server"
# The C library is this machine's: its loader finds the others.
_AT_HAND = "libc6"


def copy_server(root: Path) -> None:
    """Copy the server and its libraries below a root; fetched on first use."""
    if not TREE.exists():
        _fetch()
    (root / _SERVER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TREE / _PROGRAM, root / _SERVER)
    for library in _libraries(TREE / _PROGRAM):
        inside = library.relative_to(TREE if library.is_relative_to(TREE) else "/")
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / inside)


def version() -> str:
    """Return the version of the server."""
    done = subprocess.run(
        ["redis-server", "--version"], executable=TREE / _PROGRAM, env=_environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return f"redis {done.stdout.partition('v=')[2].split()[0]}"


def _fetch() -> None:
    image.CACHE.mkdir(parents=True, exist_ok=True)
    image.update_packages()
    depends = image.run("apt-cache", "depends", "redis-tools").decode()
    libraries = set(re.findall(r"^ *Depends: (lib\S+)$", depends, re.MULTILINE)) - {_AT_HAND}
    with tempfile.TemporaryDirectory(dir=image.CACHE) as folder:
        archives, tree = Path(folder, "archives"), Path(folder, "tree")
        archives.mkdir()
        # For the user that apt downloads as.
        Path(folder).chmod(0o755)
        image.unpack_packages(archives, tree, "redis-tools", *sorted(libraries))
        tree.rename(TREE)


def _libraries(program: Path) -> list[Path]:
    """Return the shared libraries of a program: those in the tree first, else this machine's."""
    done = subprocess.run(
        ["ldd", program], env=_environment(), capture_output=True, text=True, check=True
    )
    missing = re.findall(r"^\t(\S+) => not found", done.stdout, re.MULTILINE)
    if missing:
        raise ValueError(f"redis-server needs {', '.join(missing)}, found no such libraries")
    return [Path(each) for each in re.findall(r"(?:=> |^\t)(/\S+) \(", done.stdout, re.MULTILINE)]


def _environment() -> dict[str, str]:
    folders = {path.parent for path in TREE.rglob("*.so*")}
    return os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, sorted(folders)))}
