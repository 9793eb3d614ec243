"""Imports of many modules, at a start for which clients wait."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from ramsterd.host.signals import interrupt_ends


@contextmanager
def importing() -> Iterator[None]:
    """Import during the block: nothing that a module makes is garbage, and looking for it is a tenth of a start.

    Ctrl-C ends the process at once meanwhile: nothing has begun, and a traceback of imports tells
    nobody anything.
    """
    gc.disable()
    try:
        with interrupt_ends():
            yield
    finally:
        gc.enable()
