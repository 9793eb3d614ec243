"""`python -m ramsterd.demo`, behind `make demo` and `ramsterctl demo`.

Signals are taken over first: importing the rest takes long enough to be interrupted.
"""

import sys
from typing import Final

from ramsterd.demo.stopping import Interrupted, Stopping

EX_INTERRUPTED: Final = 130


def main() -> None:
    """Run the demo and end with its exit status."""
    stopping = Stopping()
    stopping.install()
    try:
        from ramsterd.demo.command import demo  # noqa: PLC0415  after `install`, see above

        demo.main(prog_name="demo", obj=stopping)
    except Interrupted as signal:
        stopping.ignore()
        sys.stderr.write(f"demo: interrupted by {signal}; no process and no file is left\n")
        sys.exit(EX_INTERRUPTED)


if __name__ == "__main__":
    main()
