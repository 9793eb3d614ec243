"""Mappings that a test gives to one store after the other."""

from typing import Final

from ramsterd.core.arena import FRAME_BYTES, HeapMapping


class KeptMemory:
    """Maps each name once; a process that maps it again finds what was left there."""

    def __init__(self) -> None:
        self.mappings: dict[str, HeapMapping] = {}

    def __call__(self, name: str, length: int) -> HeapMapping:
        if name not in self.mappings:
            self.mappings[name] = HeapMapping(name, length)
        return self.mappings[name]


_EMPTY_FRAME: Final = bytes(FRAME_BYTES)


class ScarceMemory:
    """Mappings of a file system that has so many frames, and that others fill, too."""

    def __init__(self, frames_free: int) -> None:
        self.frames_free = frames_free

    def __call__(self, name: str, length: int) -> HeapMapping:
        return _ScarceMapping(self, name, length)


class _ScarceMapping(HeapMapping):
    needs_reserve = True

    def __init__(self, memory: ScarceMemory, name: str, length: int) -> None:
        super().__init__(name, length)
        self._memory = memory
        self._reserved: set[int] = set()

    def release(self, start: int, length: int) -> None:
        self.check()
        super().release(start, length)
        freed = self._reserved & set(_frames(start, length))
        self._memory.frames_free += len(freed)
        self._reserved -= freed

    def reserve(self, start: int, length: int) -> bool:
        self.check()
        missing = set(_frames(start, length)) - self._reserved
        if len(missing) > self._memory.frames_free:
            return False
        self._memory.frames_free -= len(missing)
        self._reserved |= missing
        return True

    def check(self) -> None:
        """Nothing was written where nothing was reserved: that would have ended the process."""
        for frame in range(len(self.view) // FRAME_BYTES):
            if frame not in self._reserved:
                start = frame * FRAME_BYTES
                # Of two views each byte is compared by itself.
                assert bytes(self.view[start : start + FRAME_BYTES]) == _EMPTY_FRAME


def _frames(start: int, length: int) -> range:
    return range(start // FRAME_BYTES, -(-(start + length) // FRAME_BYTES))
