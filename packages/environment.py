"""The private environment: ramster and all its libraries, for the interpreter of the distribution.

It is made below a root, and belongs at `PREFIX` of the machine where it is installed: nothing in it names another place.
"""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from packages.release import ROOT, release
from packages.tree import PROGRAM_MODE, write
from ramsterd.host.build import BUILD_FILE

PREFIX: Final = "usr/lib/ramster"
# That of the distribution.
INTERPRETER: Final = "/usr/bin/python3"
PROGRAMS: Final = ("ramsterd", "ramsterctl")
# What a node and an operator may need; the others are for those who change the code.
EXTRAS: Final = ("tls", "top", "zstd")
# What pip notes for itself.  It names the folder of the build, or sums of files that are changed here; and the packages
# of a distribution are not pip's.
_NOTES_OF_PIP: Final = ("direct_url.json", "INSTALLER", "RECORD", "REQUESTED", "WHEEL")
# It is given the folder of an environment.
Install = Callable[[Path], None]
_CONFIG: Final = """\
home = /usr/bin
include-system-site-packages = false
version = {version}
"""


def make_environment(root: Path, install: Install | None = None) -> Path:
    """Make it below a root that has none; return the folder of its libraries.

    Args:
        root: Of the machine for which it is.
        install: What puts ramster and its libraries into it, with its programs; pip does, unless something else is given.
    """
    folder = root / PREFIX
    # What is installed there is for one version, also where another becomes the usual one.
    subprocess.run([interpreter(), "-I", "-m", "venv", "--without-pip", folder], check=True)
    (install or _install)(folder)
    (libraries,) = folder.glob("lib/python*/site-packages")
    for name in _NOTES_OF_PIP:
        for path in libraries.glob(f"*.dist-info/{name}"):
            path.unlink()
    _tidy(folder)
    _compile(root)
    return libraries


def interpreter() -> str:
    """Return the interpreter that the environment leads to, by the name that has its version."""
    major, minor, _ = version_of_interpreter()
    return f"{INTERPRETER.removesuffix('3')}{major}.{minor}"


def version_of_interpreter() -> tuple[int, int, int]:
    """Return the version of the interpreter that it is for."""
    code = "import sys; print(*sys.version_info[:3])"
    done = subprocess.run([INTERPRETER, "-I", "-c", code], capture_output=True, check=True)
    major, minor, micro = map(int, done.stdout.split())
    return major, minor, micro


def has_extension(root: Path) -> bool:
    """Return whether the compiled loops are in the environment below a root: the machine that built it could build them."""
    return any((root / PREFIX).glob("lib/python*/site-packages/ramsterd/compiled/_loops.*.so"))


def packages_of_project() -> list[str]:
    """Return the folders that are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included: list[str] = project["tool"]["setuptools"]["packages"]["find"]["include"]
    return [each.removesuffix("*") for each in included]


def _install(folder: Path) -> None:
    """Install into it, from a copy: what earlier builds have left in this tree must not get into it."""
    with tempfile.TemporaryDirectory(prefix="ramster-source-") as name:
        source = Path(name)
        for package in packages_of_project():
            ignored = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(ROOT / package, source / package, ignore=ignored)
        for file in ("setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, source)
        (source / "ramsterd" / "host" / BUILD_FILE).write_text(f"{release().build}\n")
        pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python3", "install"]
        options = [
            "-qq",
            "--no-compile",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
        ]
        what = ["-c", f"{ROOT}/constraints.txt", f"{source}[{','.join(EXTRAS)}]"]
        subprocess.run([*pip, *options, *what], check=True)


def _tidy(folder: Path) -> None:
    """Leave the interpreter and our programs, which say where the interpreter will be."""
    shutil.rmtree(folder / "include", ignore_errors=True)
    (folder / "lib64").unlink(missing_ok=True)
    for path in (folder / "bin").iterdir():
        if path.name in PROGRAMS:
            _, _, body = path.read_text().partition("\n")
            write(path, f"#!/{PREFIX}/bin/python3\n{body}", mode=PROGRAM_MODE)
        elif not path.name.startswith("python"):
            path.unlink()
    version = ".".join(map(str, version_of_interpreter()))
    write(folder / "pyvenv.cfg", _CONFIG.format(version=version))


def _compile(root: Path) -> None:
    """Compile all modules: the daemon's user may not, and a start would take seconds longer.

    The result depends on the source alone, not on its time: two builds are alike, and a file that is changed in its place
    is compiled anew.
    """
    options = ("-q", "-q", "-j0", "--invalidation-mode=checked-hash", f"-s{root}", "-p/")
    command = (INTERPRETER, "-I", "-m", "compileall", *options, root / PREFIX / "lib")
    subprocess.run(command, check=True)
