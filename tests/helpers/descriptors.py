"""Numbers of descriptors for tests that put theirs where they say, in the process that runs all tests.

Whatever is there already would be closed, and it may be the memory of another test's node.
"""

import os
from typing import Final

# For what is opened meanwhile: the kernel gives the lowest number that is free.
_GAP: Final = 64


def first_free_descriptor() -> int:
    """Return a number such that no descriptor of this process has it or a higher one."""
    return max(int(name) for name in os.listdir("/proc/self/fd")) + _GAP
