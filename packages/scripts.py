"""What package managers run when the package comes and goes: each has scripts of its own, which share their parts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_SHARED: Final = _HERE / "shared"
_INCLUDE: Final = re.compile(r"^#include (\w+)\n", re.MULTILINE)


def scripts_of(folder: str) -> Mapping[str, str]:
    """Return the scripts of a package manager by their names, with the shared parts in their places."""
    found = sorted((_HERE / folder).iterdir())
    return {path.name: _INCLUDE.sub(_part, path.read_text()) for path in found}


def _part(line: re.Match[str]) -> str:
    return (_SHARED / line[1]).read_text()
