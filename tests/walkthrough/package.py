"""The Debian package of this tree, made of the libraries of this test run: what `make deb` builds, without an index.

It calls itself by the version that a test chooses, so that one node can be upgraded to another.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from packages.contents import ZSH_OF_DEBIAN, install_all
from packages.deb import architecture, control_text
from packages.environment import INTERPRETER, PROGRAMS, version_of_interpreter
from packages.release import release
from packages.scripts import scripts_of
from packages.tree import PROGRAM_MODE, write
from ramsterd.host.build import BUILD_FILE
from tests.docs.pages import PACKAGES, ROOT
from tests.helpers.requirements import require_tool

# `cluster init` needs it; the other extras are many files, and no node needs them.
EXTRA: Final = "tls"
REVISION: Final = 1
_VERSION: Final = re.compile(r'(?<=__version__: Final = ")[^"]+')
_MODULES: Final = {"ramsterd": "ramsterd.cli.entry", "ramsterctl": "ramsterd.cli.ramsterctl"}
_SCRIPT: Final = """\
#!/usr/bin/python3
import sys
from {module} import main
sys.exit(main())
"""


class Packages:
    """One tree, and the packages of it."""

    def __init__(self, folder: Path) -> None:
        """Make the tree, or skip the test where no package for this machine can be made."""
        require_tool("dpkg-deb", "apt-get", INTERPRETER)
        if version_of_interpreter()[:2] != sys.version_info[:2]:
            pytest.skip(f"needs the Python of the distribution ({INTERPRETER})")
        self._folder = folder
        self._root = folder / "root"
        install_all(self._root, release(), zsh=ZSH_OF_DEBIAN, install=install)

    def build(self, version: str) -> Path:
        """Return the file of a package."""
        (init,) = self._root.glob("usr/lib/ramster/lib/python*/site-packages/ramsterd/__init__.py")
        init.write_text(_VERSION.sub(version, init.read_text()))
        control = self._root / "DEBIAN"
        full = f"{version}-{REVISION}"
        write(control / "control", control_text(full, self._root))
        for name, script in scripts_of("debian").items():
            write(control / name, script, mode=PROGRAM_MODE)
        file = self._folder / f"ramster_{full}_{architecture()}.deb"
        subprocess.run(
            ["dpkg-deb", "-Znone", "--root-owner-group", "--build", self._root, file],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return file


def install(folder: Path) -> None:
    """Copy ramster of this tree and the libraries of this interpreter into an environment."""
    (libraries,) = folder.glob("lib/python*/site-packages")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.[ch]")
        shutil.copytree(ROOT / name, libraries / name, ignore=ignored)
    write(libraries / "ramsterd/host" / BUILD_FILE, f"{release().date}\n")
    ours = Path(sysconfig.get_paths()["purelib"])
    for name in sorted(needed("ramster", {EXTRA, ""}) - {"ramster"}):
        for path in distribution(name).files or []:
            source = Path(str(path.locate()))
            if source.is_relative_to(ours) and source.suffix != ".pyc" and source.exists():
                target = libraries / source.relative_to(ours)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    for name in PROGRAMS:
        write(folder / "bin" / name, _SCRIPT.format(module=_MODULES[name]), mode=PROGRAM_MODE)


def needed(name: str, extras: set[str]) -> set[str]:
    """Return the names of a distribution and of all that it needs here."""
    found = {name}
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            found |= needed(requirement.name, {"", *requirement.extras})
    return found
