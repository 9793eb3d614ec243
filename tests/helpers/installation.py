"""ramster as it is installed on a node: an environment of its own, with a version that a test chooses.

What `pip install` does, without an index and without a build: the packages are put in the place of those that were
there.  Libraries are those of this test run.
"""

import re
import shutil
import sysconfig
import venv
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from tests.docs.pages import PACKAGES, ROOT

_VERSION: Final = re.compile(r'(?<=__version__: Final = ")[^"]+')
_PROGRAMS: Final = {"ramsterd": "ramsterd.cli.entry", "ramsterctl": "ramsterd.cli.ramsterctl"}
_SCRIPT: Final = """\
#!{python}
import sys
from {module} import main
if __name__ == "__main__":
    sys.exit(main())
"""


class Installation:
    """One node's."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self._bin = folder / "bin"
        (self._packages,) = folder.glob("lib/python*/site-packages")
        (self._packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
        for name, module in _PROGRAMS.items():
            script = self._bin / name
            script.write_text(_SCRIPT.format(python=self._bin / "python", module=module))
            script.chmod(0o755)

    @property
    def ramsterd(self) -> list[str]:
        return [str(self._bin / "ramsterd")]

    @property
    def ramsterctl(self) -> list[str]:
        return [str(self._bin / "ramsterctl")]

    @property
    def environ(self) -> dict[str, str]:
        """What hides this tree from its programs."""
        # Its bytecode is beside its files, where `install` puts it.
        return {"PYTHONPATH": "", "PYTHONPYCACHEPREFIX": ""}

    def install(self, version: str, *, changes: dict[str, str] | None = None) -> None:
        """Put a release in the place of what is installed.

        Args:
            version: What it calls itself.
            changes: Lines that are added to its modules, by path.
        """
        for package in PACKAGES:
            shutil.rmtree(self._packages / package, ignore_errors=True)
            shutil.copytree(ROOT / package, self._packages / package)
            copy_bytecode(package, self._packages)
        init = self._packages / "ramsterd/__init__.py"
        init.write_text(_VERSION.sub(version, init.read_text()))
        for path, line in (changes or {}).items():
            with (self._packages / path).open("a") as module:
                module.write(f"\n{line}\n")


def copy_bytecode(package: str, packages: Path) -> None:
    """Copy what this run has compiled of it: that is good for the same files elsewhere, and compiling takes seconds."""
    for source in (ROOT / package).rglob("*.py"):
        cached = Path(cache_from_source(str(source)))
        if cached.exists():
            beside = packages / source.relative_to(ROOT).parent / "__pycache__"
            beside.mkdir(exist_ok=True)
            shutil.copy2(cached, beside)
