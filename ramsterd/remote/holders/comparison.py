"""What a holder keeps, beside what our rows say that it keeps: the two differences.

Both are ascending, so they are found by going through both once; as there may be millions, some at
a time.
"""

import heapq
from array import array
from collections.abc import Iterator
from typing import Final

from ramsterd.remote.wire import SERIAL_MAX, PageList

# Above all serials: there is no more.
END: Final = SERIAL_MAX + 1
# Serials after which a comparison lets others have their turn.
_STEP_SERIALS: Final = 256


class OurSerials:
    """The serials of our rows that name one holder: added in any order, then read ascending.  8 bytes each."""

    def __init__(self) -> None:
        self._runs: list[array[int]] = []
        self._rest: Iterator[int] = iter(())
        # The lowest that was not read yet.
        self.head = END

    def add(self, serials: "array[int]") -> None:
        """Add some: few enough to be sorted now, for all of them would take too long."""
        self._runs.append(array("Q", sorted(serials)))

    def begin(self) -> None:
        """All are there: read the first."""
        self._rest = heapq.merge(*self._runs)
        self.advance()

    def advance(self) -> None:
        """Read the next."""
        self.head = next(self._rest, END)


def differences(
    ours: OurSerials, listed: PageList, *, unknown: "array[int]", missing: "array[int]"
) -> Iterator[int]:
    """Add the serials that only a holder has to `unknown`, and those that only our rows name to `missing`.

    All of ours up to `listed.up_to` are read; those before the list begins were, with the list
    before it.  Yields, now and then, how many serials were looked at.
    """
    looked_at = 0
    for low, high in [*listed.ranges, (listed.up_to + 1, listed.up_to)]:
        # Up to where the range was looked at.
        start = low
        while ours.head < max(low, high + 1):
            if ours.head < low:
                missing.append(ours.head)
            else:
                unknown.extend(range(start, ours.head))
                start = ours.head + 1
            ours.advance()
            looked_at += 1
            if looked_at >= _STEP_SERIALS:
                yield looked_at
                looked_at = 0
        unknown.extend(range(start, high + 1))
        looked_at += 1
    yield looked_at
