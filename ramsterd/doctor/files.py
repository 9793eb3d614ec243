"""Small files of the kernel below a folder that a test may choose.  A shell: what can't be read is empty."""

import os
from pathlib import Path


def below(root: Path, path: str) -> Path:
    """Return where an absolute path is below a root."""
    return root / path.removeprefix("/")


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder, sorted."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def read_text(path: Path) -> str:
    """Return the text of a small file."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
