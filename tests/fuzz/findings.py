"""What a run found: of each kind of failure the shortest input, and its traceback beside it."""

import hashlib
import sys
import traceback
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


class Findings:
    """Keeps findings in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shortest: dict[str, int] = {}

    def note(self, data: bytes, error: Exception) -> None:
        """Keep an input unless one that is no longer ended the same way."""
        name = digest_of(error)
        if len(data) >= self._shortest.get(name, sys.maxsize):
            return
        self._shortest[name] = len(data)
        (self._folder / f"{name}.input").write_bytes(data)
        (self._folder / f"{name}.txt").write_text("".join(traceback.format_exception(error)))


def digest_of(error: Exception) -> str:
    """Return a short name of what failed: the kind of exception, and the last line of our own that it went through."""
    ours = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(ROOT)) and "site-packages" not in frame.filename
    ]
    said = f"{type(error).__name__} {ours[-1] if ours else ''}"
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
