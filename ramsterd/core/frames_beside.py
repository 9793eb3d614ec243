"""What lies beside the frames of a table, in frames of another mapping: records of its items.

They are smaller than the items, so that several frames of a table share one of these.
"""

from array import array
from collections.abc import Iterable

from ramsterd.core.arena import FRAME_BYTES, Mapping, Place, reserve_frame


class FramesBeside:
    """Frames of another mapping, each of which belongs to several frames of items, and is there while one of these is."""

    def __init__(self, mapping: Mapping, shift: int) -> None:
        """Have a frame of a mapping for each 1 << shift frames of items."""
        self._mapping, self._shift = mapping, shift
        # Of each: for how many frames of items it is there.
        self._used = array("B")

    def bytes_for(self, frame: int) -> int:
        """Return how many bytes more are resident with a frame of items."""
        ours = frame >> self._shift
        return 0 if ours < len(self._used) and self._used[ours] else FRAME_BYTES

    def add(self, frame: int) -> bool:
        """A frame of items is to be there.

        Return False, and change nothing, if there is no room for ours.
        """
        ours = frame >> self._shift
        if self.bytes_for(frame) and not reserve_frame(self._mapping, ours):
            return False
        if ours >= len(self._used):
            self._used.frombytes(bytes(ours + 1 - len(self._used)))
        self._used[ours] += 1
        return True

    def remove(self, frame: int) -> int:
        """A frame of items is there no more; return how many bytes are given back with it."""
        ours = frame >> self._shift
        self._used[ours] -= 1
        if self._used[ours]:
            return 0
        self._mapping.release(ours * FRAME_BYTES, FRAME_BYTES)
        return FRAME_BYTES

    def place(self, frame: int) -> Place:
        """Return which frame of ours belongs to one of items."""
        return self._mapping, frame >> self._shift

    def adopt(self, frames: Iterable[int]) -> None:
        """Go on with those frames that belong to these of items; give all others back."""
        self._used = array("B")
        for frame in frames:
            is_there = self.add(frame)
            assert is_there
        release_gaps(self._mapping, self.there())

    def there(self) -> list[int]:
        """Return the frames that are there."""
        return [ours for ours, used in enumerate(self._used) if used]

    def resident_bytes(self) -> int:
        """Return what they take."""
        return len(self.there()) * FRAME_BYTES


def release_gaps(mapping: Mapping, frames: Iterable[int]) -> None:
    """Give all frames of a mapping back but these, which rise."""
    end = 0
    for frame in (*frames, len(mapping.view) // FRAME_BYTES):
        if frame > end:
            mapping.release(end * FRAME_BYTES, (frame - end) * FRAME_BYTES)
        end = frame + 1
