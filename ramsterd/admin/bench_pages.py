"""Pages of a benchmark, which shrink as far as the operator says.  Pure."""

import random
from typing import Final

from config.limits import PAGE_BYTES

# Fewer distinct pages would all be in a processor's cache.
PAGES_COUNT: Final = 256
RATIO_MIN: Final = 0.05


def bench_pages(ratio: float, rng: random.Random, count: int = PAGES_COUNT) -> list[bytes]:
    """Return pages of which about so much is left when they are packed: noise, and zeros behind it."""
    noise_bytes = max(8, round(PAGE_BYTES * ratio))
    return [rng.randbytes(noise_bytes).ljust(PAGE_BYTES, b"\0")[:PAGE_BYTES] for _ in range(count)]
