"""`python -m packages.schema`: write all schemas anew into docs/schema, and what programs may rely on into one file."""

import json
from pathlib import Path
from typing import Final

from packages.schema.commands import documents
from packages.schema.promises import PROMISES, promised, read_promises

FOLDER: Final = Path(__file__).parents[2] / "docs" / "schema"


def texts() -> dict[str, str]:
    """Return the text of each file."""
    return {name: f"{json.dumps(schema, indent=1)}\n" for name, schema in documents().items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
    # Only ever more of them: what is gone stays, and fails a test.
    kept = read_promises(FOLDER / PROMISES) if (FOLDER / PROMISES).exists() else set()
    lines = sorted(kept | promised(documents()))
    (FOLDER / PROMISES).write_text("\n".join([*lines, ""]))
