"""The inner loops of the store, compiled, where they were built (docs/design/0022).

`loops` is the extension, or None: then Python does all by itself, and `WHY_NOT` says why.  What calls
it is core.twin.
"""

import os
import zlib
from pathlib import Path
from types import ModuleType
from typing import Final

# Chooses Python even where the extension was built.
PURE_VARIABLE: Final = "RAMSTER_PURE"
_FOLDER: Final = Path(__file__).parent


def sources_sum() -> int | None:
    """Return a checksum of the sources, as setup.py has it; None where only what was built of them is installed."""
    files = sorted(_FOLDER.glob("*.[ch]"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files)) if files else None


def _load(environment: str) -> tuple[ModuleType | None, str]:
    """Return the extension, or None and why."""
    if environment not in {"", "0"}:
        return None, f"{PURE_VARIABLE}={environment}"
    try:
        from ramsterd.compiled import _loops  # noqa: PLC0415  it need not be there
    except ImportError as error:
        return None, f"not built: {error}"
    if sources_sum() not in {None, _loops.SOURCES_SUM}:
        # Of an earlier checkout: it might have other layouts.
        return None, "built of other sources"
    return _loops, ""


loops, WHY_NOT = _load(os.environ.get(PURE_VARIABLE, ""))
