"""Which units of ours are installed, and which of them systemd has read.  A shell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.host import ROOT, UNIT_FOLDERS
from ramsterd.doctor import shipped
from ramsterd.doctor.files import read_text
from ramsterd.doctor.machine import Show, show_units
from ramsterd.doctor.surroundings import UnitFile, Units

_MASK: Final = "/dev/null"


def read_units(root: Path = ROOT, show: Show = show_units) -> Units:
    """Return them; a test has its own root, and its own systemd."""
    files = tuple(_files(root))
    # An instance of a template is no unit yet.
    names = [each.name for each in files if "@" not in each.name]
    said = show(names) if names else []
    outdated = [each.get("Id", "") for each in said if each.get("NeedDaemonReload") == "yes"]
    return Units(files=files, outdated=tuple(outdated))


def _files(root: Path) -> Iterator[UnitFile]:
    # Mostly /lib is a link to /usr/lib.
    folders = list(dict.fromkeys((root / name).resolve() for name in UNIT_FOLDERS))
    for name, digest in shipped.UNITS.items():
        paths = [folder / name for folder in folders if (folder / name).exists()]
        if not paths:
            continue
        first, *hidden = paths
        yield UnitFile(
            name=name,
            path=_shown(root, first),
            is_shipped=shipped.digest_of(read_text(first)) == digest,
            hides=_shown(root, hidden[0]) if hidden else "",
            is_masked=str(first.resolve()) == _MASK,
        )


def _shown(root: Path, path: Path) -> str:
    """Return a path as it is on the machine."""
    return f"/{path.relative_to(root.resolve())}"
