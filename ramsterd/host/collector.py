"""Python's collector of cycles: it runs seldom, and never walks what lives as long as the process."""

import gc
from typing import Final

# The collector walks living objects; the tables are none, so it need not run often.
GC_THRESHOLD: Final = 50_000


def calm_collector() -> None:
    """Leave alone what there is now, and walk the rest seldom."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
