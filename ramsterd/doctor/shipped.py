"""Which units this version ships, as digests: an installation has the program, and not always the folder `systemd/`.  Pure.

What `# comments` and folders of programs say is no part of a digest: they differ between a package
and an installation by hand.  tests/repository/test_shipped_units.py holds the list against the
files, and prints a new one.
"""

import hashlib
import re
from typing import Final

_PROGRAM: Final = re.compile(r"\S*/(?=ramster(d|ctl)\b)")
_DIGITS: Final = 16

UNITS: Final = {
    "ramsterd.service": "e6ab5554fdda01ed",
    "ramster.slice": "32f19d4b3a69007d",
    "ramster-nbd@.service": "bf76a15fa071ca33",
    "ramster-swap@.service": "8388f6679715f6e6",
    "ramster-own-swap.service": "065006744f17cb8c",
}


def digest_of(text: str) -> str:
    """Return what is equal of units that say the same."""
    lines = (line.strip() for line in text.splitlines())
    said = [_PROGRAM.sub("", line) for line in lines if line and not line.startswith(("#", ";"))]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:_DIGITS]
