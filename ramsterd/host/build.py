"""Which build of a version this is: what made the package has written it beside this module."""

from pathlib import Path
from typing import Final

BUILD_FILE: Final = "build.txt"
# Installed by hand, or not installed.
FROM_SOURCE: Final = "from source"


def read_build(folder: Path) -> str:
    """Return the build that is noted in a folder."""
    try:
        return (folder / BUILD_FILE).read_text().strip() or FROM_SOURCE
    except OSError:
        return FROM_SOURCE


BUILD: Final = read_build(Path(__file__).parent)
