"""The lower layer: Debian's Python and a shell, from the packages that are installed on this machine.

No package is configured inside, so there is no package manager: what they would do there is in `_FILES` and `_FOLDERS`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from packages.environment import INTERPRETER
from packages.tree import FILE_MODE, FOLDER_MODE, below, write

# An interpreter; a shell with the small tools, for whoever looks into a container at night.
WANTED: Final = ("base-files", "coreutils", "dash", "python3")
# Only for configuring packages.
_NOT_NEEDED: Final = frozenset({"awk", "debconf", "debianutils", "dpkg", "gawk", "mawk"})
_DOCUMENTS: Final = re.compile(
    r"/usr/share/(doc/.*/(?!copyright$)[^/]*|man/.*|info/.*|locale/.*|lintian/.*|bug/.*)$"
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
# The user of a daemon that needs no rights: a number of its own, the same in each release.
USER_ID: Final = 7700
_FILES: Final = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        f"ramster:x:{USER_ID}:{USER_ID}:ramster daemon:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\nramster:x:{USER_ID}:\n",
}
_FOLDERS: Final = {
    "dev": 0o755, "etc/ramster": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755,
    "run/ramster": 0o755, "sys": 0o755, "tmp": 0o1777, "var/lib/ramster": 0o755,
}  # fmt: skip


class CannotBuild(Exception):
    """This machine has not what an image is made of."""


def make_base(root: Path, libraries: tuple[str, ...] = ()) -> None:
    """Copy it below a root that is empty, with packages of libraries that the upper layer needs.

    Raises:
        CannotBuild: A package is missing, or its files are not those that it came with.
    """
    packages = closure((*WANTED, *libraries))
    _verify(packages)
    for package in packages:
        for path in _paths(package):
            _copy(path, root)
        write(root / f"var/lib/dpkg/status.d/{package}", _status(package))
    for name, text in _FILES.items():
        write(root / name, text)
    # As the private environment, and for the same reason.
    (library,) = (root / "usr/lib").glob("python3.*")
    options = ("-q", "-q", "--invalidation-mode=checked-hash", f"-s{root}", "-p/")
    subprocess.run([INTERPRETER, "-I", "-m", "compileall", *options, library], check=True)
    _set_modes(root)


def _set_modes(root: Path) -> None:
    """Give what was made here the modes that it has in a Debian, whatever the umask of whoever builds."""
    for name in _FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for path in below(root):
        if path.is_dir() and not path.is_symlink():
            path.chmod(_FOLDERS.get(str(path.relative_to(root)), FOLDER_MODE))
        elif path.suffix == ".pyc":
            path.chmod(FILE_MODE)


def closure(names: tuple[str, ...]) -> list[str]:
    """Return packages and all that they depend on, as far as programs need it when they run."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in _NOT_NEEDED:
            found.add(name)
            waiting += names_in(_query(name, "${Pre-Depends}, ${Depends}"))
    return sorted(found)


def names_in(depends: str) -> list[str]:
    """Return the first choice of each package that a field names."""
    return [match[0] for each in depends.split(",") if (match := _NAME.match(each.strip()))]


def _query(package: str, form: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CannotBuild(f"the package {package} is not installed: apt-get install {package}")
    return done.stdout


def _status(package: str) -> str:
    """Return what scanners of images read."""
    done = subprocess.run(
        ["dpkg-query", "--status", package], capture_output=True, text=True, check=True
    )
    return done.stdout


def _verify(packages: list[str]) -> None:
    done = subprocess.run(
        ["dpkg", "--verify", *packages], capture_output=True, text=True, check=False
    )
    # A document that this machine has left out is none that is wanted.
    wrong = [
        line
        for line in done.stdout.splitlines()
        if not line.startswith("missing") or not _DOCUMENTS.search(line)
    ]
    if wrong:
        raise CannotBuild(f"these files are not those of their packages: {'; '.join(wrong)}")


def _paths(package: str) -> Iterator[Path]:
    done = subprocess.run(
        ["dpkg-query", "--listfiles", package], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        if line.startswith("/") and line != "/." and not _DOCUMENTS.match(line):
            yield Path(line)


def _copy(path: Path, root: Path) -> None:
    """Copy a file to where it is here: a folder on the way may be a link (/bin leads to /usr/bin)."""
    if not os.path.lexists(path):
        return
    place = path.parent.resolve() / path.name
    _link_parents(path, root)
    target = root / place.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        if not os.path.lexists(target):
            target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir(exist_ok=True)
    else:
        shutil.copy2(path, target)


def _link_parents(path: Path, root: Path) -> None:
    """Make the links at the top that lead to the folders below /usr."""
    top = Path(*path.parts[:2])
    target = root / top.relative_to("/")
    if top.is_symlink() and not os.path.lexists(target):
        (root / top.readlink()).mkdir(parents=True, exist_ok=True)
        target.symlink_to(top.readlink())
