"""The inner loops of the store, compiled, where they were built (docs/design/0022).

`loops` is the extension, or None: then Python does all by itself, and `WHY_NOT` says why.  What calls
it is core.twin.
"""

import importlib
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
        found = importlib.import_module("ramsterd.compiled._loops")
    except ModuleNotFoundError:
        return None, "not built"
    except ImportError as error:  # such as a library that is not installed
        return None, f"not usable, {error}"
    if sources_sum() not in {None, found.SOURCES_SUM}:
        # Of an earlier checkout: it might have other layouts.
        return None, "built of other sources"
    return found, ""


def describe() -> str:
    """Say which loops run, for people."""
    return "compiled" if loops is not None else f"Python ({WHY_NOT})"


loops, WHY_NOT = _load(os.environ.get(PURE_VARIABLE, ""))
