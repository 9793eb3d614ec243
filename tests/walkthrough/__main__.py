"""Type all that docs/walkthrough.md shows, and compare what is printed:

    python -m tests.walkthrough [--write]

With `--write` the page gets what was printed, so that all its figures are of one run.  A `…` of the page stays, as long as it
stands for what is left out.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.walkthrough.likeness import difference, refreshed
from tests.walkthrough.page import Typed, commands, with_commands
from tests.walkthrough.replay import PAGE, Replay, replay

# What is new will not become what the page shows, however long it is waited for.
ASK_SECONDS_MAX: Final = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0 if the page shows what is printed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="correct the page")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="ramster-walk-") as folder,
        replay(Path(folder)) as hands,
    ):
        text = PAGE.read_text()
        found = [type_and_show(hands, typed) for typed in commands(text)]
    if options.write:
        PAGE.write_text(with_commands(text, [typed for typed, _ in found]))
    return int(not all(is_shown for _, is_shown in found))


def type_and_show(hands: Replay, typed: Typed) -> tuple[Typed, bool]:
    """Return the command as the page is to show it, and whether the page showed that but for what varies."""
    shown = typed
    for host, printed in hands.type(typed, ASK_SECONDS_MAX).items():
        sys.stderr.write("\n".join([f"{host}# {typed.command}", *printed, ""]))
        new = refreshed(typed.printed, printed)
        if new is None:
            sys.stderr.write(f"{host} differs:\n{difference(typed.printed, printed)}\n")
            return typed.with_printed(printed), False
        shown = typed.with_printed(new)
    return shown, True


if __name__ == "__main__":
    sys.exit(main())
