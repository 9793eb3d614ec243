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
    # Of the last commit; empty in a tree without git.
    commit: str = ""

    @property
    def date(self) -> str:
        """The day, as YYYY-MM-DD."""
        return datetime.fromtimestamp(self.epoch, UTC).date().isoformat()

    @property
    def build(self) -> str:
        """What `ramsterctl version` says of it."""
        return f"{self.date} {self.commit}".strip()


def release() -> Release:
    """Return what this tree is: its time is SOURCE_DATE_EPOCH, or that of the last commit."""
    match = _VERSION.search((ROOT / "pyproject.toml").read_text())
    assert match is not None, "pyproject.toml has the version"
    return Release(match[1], _epoch(), _git("log", "-1", "--format=%h"))


def _epoch() -> int:
    if told := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(told)
    # A tree without git has a file of the release that nobody changes.
    return int(_git("log", "-1", "--format=%ct") or (ROOT / "CHANGELOG.md").stat().st_mtime)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
