"""Where the commands begin: what can't wait until all modules are imported, which takes a while."""

import os
from typing import Final

from ramsterd.cli.importing import importing
from ramsterd.host.signals import hold_signals

STANDARD_FILES: Final = (0, 1, 2)


def ramsterctl() -> None:
    """Run the command line of `ramsterctl`."""
    with importing():
        from ramsterd.cli.ramsterctl import main as run_command  # noqa: PLC0415  see above

    run_command()


def main() -> None:
    """Run the command line of `ramsterd`."""
    hold_signals()
    open_standard_files()
    with importing():
        from ramsterd.cli.ramsterd import main as run_command  # noqa: PLC0415  see above

    run_command(prog_name="ramsterd")


def open_standard_files() -> None:
    """Open those of the standard files that were closed, on nothing.

    The next file or socket would get the free number: then the log would be written into a client's
    connection.
    """
    for number in STANDARD_FILES:
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: that of the file which is missing, for those below are open by
            # now.
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == number, f"{opened}, not {number}"
            os.set_inheritable(opened, True)
