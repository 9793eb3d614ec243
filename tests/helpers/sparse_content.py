"""What a mapping holds: most of it is zeros, and of these nothing is kept, copied or compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ramsterd.core.arena import FRAME_BYTES, FileMapping

_EMPTY: Final = bytes(FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a mapping at one moment."""

    length: int
    # By number, those frames that are not zeros.
    frames: Mapping[int, bytes]

    @classmethod
    def of(cls, data: bytes) -> "Content":
        """Return what has these bytes."""
        return cls(len(data), _frames(memoryview(data), [(0, len(data))]))

    @classmethod
    def of_mapping(cls, mapping: FileMapping) -> "Content":
        """Return what a mapping has now."""
        return cls(len(mapping.view), _frames(mapping.view, mapping.resident_spans()))

    def part(self, start: int, stop: int) -> bytearray:
        """Return the bytes from one frame's start to another's, or to the end."""
        part = bytearray(stop - start)
        for number in range(start // FRAME_BYTES, -(-stop // FRAME_BYTES)):
            if number in self.frames:
                at = number * FRAME_BYTES - start
                part[at : at + FRAME_BYTES] = self.frames[number]
        return part

    def whole(self) -> bytearray:
        """Return all bytes."""
        return self.part(0, self.length)

    def fill(self, view: memoryview) -> None:
        """Write all into memory that is zeros, and at least as long."""
        for number, frame in self.frames.items():
            start = number * FRAME_BYTES
            view[start : start + len(frame)] = frame

    def stored(self, start: int, data: bytes) -> "Content":
        """Return the same with something stored in it."""
        first = start // FRAME_BYTES * FRAME_BYTES
        stop = min(self.length, -(-(start + len(data)) // FRAME_BYTES) * FRAME_BYTES)
        part = self.part(first, stop)
        part[start - first : start - first + len(data)] = data
        frames = dict(self.frames)
        for at in range(first, stop, FRAME_BYTES):
            frames[at // FRAME_BYTES] = bytes(part[at - first : at - first + FRAME_BYTES])
            if _is_empty(frames[at // FRAME_BYTES]):
                del frames[at // FRAME_BYTES]
        return Content(self.length, frames)

    def is_empty(self, start: int, stop: int) -> bool:
        """Whether there are only zeros from one frame's start to another's."""
        numbers = range(start // FRAME_BYTES, -(-stop // FRAME_BYTES))
        return not any(number in self.frames for number in numbers)


def _frames(view: memoryview, spans: list[tuple[int, int]]) -> dict[int, bytes]:
    return {
        at // FRAME_BYTES: frame
        for start, stop in spans
        for at, frame in _cut(view, start, stop)
        if not _is_empty(frame)
    }


def _cut(view: memoryview, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    for at in range(start, stop, FRAME_BYTES):
        yield at, bytes(view[at : min(at + FRAME_BYTES, stop)])


def _is_empty(frame: bytes) -> bool:
    return frame == _EMPTY[: len(frame)]
