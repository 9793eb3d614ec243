"""A process with the real front ends and the real restart, whose pages are in a memfd that the next process inherits.

    python -m tests.fakes.kept_server run --config FOLDER           serves, at nbd, tmem and control in FOLDER
    python -m tests.fakes.kept_server check-config --config FOLDER  fails if FOLDER has a file `broken`

It stands for a daemon with kept memory: what is lost on the way is lost to its clients, and what is served twice is
seen.  A part of the requests waits for some milliseconds, as for a peer.
"""

import sys
from pathlib import Path


def main(command: str, _: str, config: str) -> None:
    folder = Path(config)
    if command == "check-config":
        if (folder / "broken").exists():
            sys.exit(f"{folder}: broken")
        return
    # Clients are at work while it is checked, on the processor that imports take.
    from tests.fakes.kept_server_process import serve  # noqa: PLC0415

    serve(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
