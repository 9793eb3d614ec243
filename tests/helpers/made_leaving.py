"""A block on its way to a peer, of numbers that a test makes up."""

from array import array
from collections.abc import Sequence

from ramsterd.core.leaving import Leaving


def make_leaving(
    block: int, rows: Sequence[int], serials: Sequence[int], checksums: Sequence[int],
    packed: Sequence[int], body: bytes,
) -> Leaving:  # fmt: skip
    return Leaving(
        block,
        array("I", rows),
        array("Q", serials),
        array("Q", checksums),
        array("H", packed),
        body,
    )
