"""The units of `systemd/`, as a package installs them.  Pure.

There is one source.  By hand an environment is in /opt, for it is the administrator's; that of a package is in /usr/lib.
"""

from typing import Final

BY_HAND: Final = "/opt/ramster/bin/"
PACKAGED: Final = "/usr/lib/ramster/bin/"

# Where each file goes.  What an administrator fills in first is an example.
PLACES: Final = {
    "ramsterd.service": "usr/lib/systemd/system/ramsterd.service",
    # Swap goes off before the daemon stops: on each node, so that nobody has to think of it.
    "ramsterd-nbd.conf": "usr/lib/systemd/system/ramsterd.service.d/nbd.conf",
    "ramster-nbd@.service": "usr/lib/systemd/system/ramster-nbd@.service",
    "ramster-swap@.service": "usr/lib/systemd/system/ramster-swap@.service",
    "ramster-own-swap.service": "usr/lib/systemd/system/ramster-own-swap.service",
    "ramster.slice": "usr/lib/systemd/system/ramster.slice",
    "ramster.sysusers.conf": "usr/lib/sysusers.d/ramster.conf",
    "ramster-others.conf": "usr/share/doc/ramster/examples/ramster-others.conf",
}


def packaged(text: str) -> str:
    """Return a unit that starts the programs of the package; comments say how it is by hand."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line if line.startswith("#") else line.replace(BY_HAND, PACKAGED) for line in lines
    )
