"""What a build is of: the version, and the one time that everything in it has, so that two builds are alike."""

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_VERSION: Final = re.compile(r'^version = "(.*)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Release:
    """A version and its time."""

    version: str
    # Seconds since 1970.
    epoch: int

    @property
    def date(self) -> str:
        """The day, as YYYY-MM-DD."""
        return datetime.fromtimestamp(self.epoch, UTC).date().isoformat()


def release() -> Release:
    """Return what this tree is: its time is SOURCE_DATE_EPOCH, or that of the last commit."""
    match = _VERSION.search((ROOT / "pyproject.toml").read_text())
    assert match is not None, "pyproject.toml has the version"
    return Release(match[1], _epoch())


def _epoch() -> int:
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # A tree without git has a file of the release that nobody changes.
    return int(done.stdout or (ROOT / "CHANGELOG.md").stat().st_mtime)
