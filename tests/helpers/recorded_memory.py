"""Memory whose every store is recorded, so that a process can be ended between any two of them.

The code that stores runs unchanged: it is traced, and before each of its opcodes, and after each store of the compiled
loops, the mappings are compared with what they held before.  So what was stored is found, by any code, in the order of the program, which is all that
SIGKILL needs.  A store of more than a word may be torn anywhere; `states` tears it, too.

Most of a mapping is empty and stays so.  Compared each time is what is near something; that nothing was stored
elsewhere is seen at the end.
"""

import dis
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import ramsterd
from ramsterd import compiled
from ramsterd.core.arena import FileMapping
from ramsterd.kept.keepers.keeper import make_memfd

WORD_BYTES: Final = 8
# What is watched is watched by these, and so are some behind each: an operation may begin a block of the arena for each of
# its pages, and a block begins where the last one ends.
PIECE_BYTES: Final = 1 << 16
PIECES_BEHIND: Final = 8
# A longer store is torn at some places, not at all.
TORN_WORDS_MAX: Final = 16
_TRACED: Final = tuple(
    str(Path(ramsterd.__file__).parent / room) + "/" for room in ("core", "kept")
)
# What may call something that stores, or store.
_STORING: Final = frozenset(
    dis.opmap[name]
    for name in ("STORE_SUBSCR", "STORE_SLICE", "CALL", "CALL_KW", "CALL_FUNCTION_EX")
    if name in dis.opmap
)

Image = dict[str, bytearray]


@dataclass(frozen=True, slots=True)
class Stored:
    """What one opcode changed in one mapping."""

    name: str
    start: int
    before: bytes
    after: bytes
    # Where in the program.
    place: str

    def torn(self) -> Iterator[bytes]:
        """Yield what stands there if only some of its words were stored; these are aligned."""
        skew = self.start % WORD_BYTES
        cuts = list(range(WORD_BYTES - skew, len(self.after), WORD_BYTES))
        if len(cuts) > TORN_WORDS_MAX:
            cuts = [*cuts[:3], cuts[len(cuts) // 2], *cuts[-3:]]
        for cut in cuts:
            yield self.after[:cut] + self.before[cut:]
            yield self.before[:cut] + self.after[cut:]


class RecordedKeeper:
    """Keeps memory as systemd does, and looks into it: `record` says what is stored while something runs."""

    description = "a test"
    outlives_stop = True
    to_discard = "nothing"
    needs_reserve = False
    has_paths = False
    warning = ""

    def __init__(self, image: Mapping[str, bytes | bytearray] | None = None) -> None:
        """Begin with nothing, or with what a process has left."""
        self.views: dict[str, memoryview] = {}
        self._files: dict[str, int] = {}
        self._watched: list[Watched] = []
        self._found: list[Stored] = []
        self._may_have_stored = False
        self._place = ""
        for name, content in (image or {}).items():
            fd = self.make(name, len(content))
            _fill(self.views[name], content)
            self._files[name] = fd

    def take(self) -> dict[str, int]:
        files, self._files = self._files, {}
        return files

    def make(self, name: str, length: int) -> int:
        # What maps it makes it as long, and looks at no less.
        length = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = make_memfd(name, length)
        self.views[name] = memoryview(mmap.mmap(fd, length))
        return fd

    def map_memory(self, name: str, length: int) -> FileMapping:
        """Map a new file, for a store without the rest of what is kept."""
        return FileMapping(self.make(name, length), name, length)

    def discard(self) -> None:
        self.views = {}

    def finish(self) -> None:
        pass

    def close(self) -> None:
        for fd in self._files.values():
            os.close(fd)

    def image(self) -> Image:
        """Return a copy of all mappings."""
        return {name: bytearray(view) for name, view in self.views.items()}

    def record(self, operation: Callable[[], object]) -> list[Stored]:
        """Run something; return what it stored, in order."""
        before = self.image()
        self._watched = [
            part for name, content in before.items() for part in watched(name, content)
        ]
        self._found, self._may_have_stored = [], False
        traced_before = sys.gettrace()
        sys.settrace(self._on_call)
        if compiled.loops is not None:
            compiled.loops.watch(self._on_compiled)
        try:
            operation()
        finally:
            sys.settrace(traced_before)
            if compiled.loops is not None:
                compiled.loops.watch(None)
        self._look()
        self._check_all_was_seen(before)
        return self._found

    def _check_all_was_seen(self, before: Image) -> None:
        for each in self._found:
            before[each.name][each.start : each.start + len(each.after)] = each.after
        for name, content in before.items():
            assert content == self.views[name], f"{name}: a store where nobody watched"

    def _on_call(self, frame: FrameType, event: str, _: object) -> Any:
        del event
        if not frame.f_code.co_filename.startswith(_TRACED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._on_opcode

    def _on_opcode(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            if self._may_have_stored:
                self._look()
            self._may_have_stored = frame.f_code.co_code[frame.f_lasti] in _STORING
            if self._may_have_stored:
                self._place = f"{frame.f_code.co_name}:{frame.f_lineno}"
        return self._on_opcode

    def _on_compiled(self, place: str) -> None:
        self._place = f"compiled: {place}"
        self._look()

    def _look(self) -> None:
        for part in self._watched:
            view = self.views[part.name][part.start : part.start + len(part.shadow)]
            # A bytearray compares as memory; a memoryview would compare byte by byte.
            if part.shadow != view:
                self._note(part, view)

    def _note(self, part: "Watched", view: memoryview) -> None:
        start, stop = _changed(part.shadow, view, 0, len(part.shadow))
        before, after = bytes(part.shadow[start:stop]), bytes(view[start:stop])
        part.shadow[start:stop] = after
        self._found.append(Stored(part.name, part.start + start, before, after, self._place))


@dataclass(frozen=True, slots=True)
class Watched:
    """A part of a mapping, and what it held when it was last looked at."""

    name: str
    start: int
    shadow: bytearray


def watched(name: str, content: bytearray) -> Iterator[Watched]:
    """Yield the parts of a mapping that hold something, its first, and what is right behind each of these."""
    zeros = bytes(PIECE_BYTES)
    pieces = [content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES)]
    used = [number == 0 or piece != zeros[: len(piece)] for number, piece in enumerate(pieces)]
    first = None
    # One more, which is not watched, ends the last part.
    for number, _ in enumerate([*pieces, b""]):
        is_watched = any(used[max(0, number - PIECES_BEHIND) : number + 1]) and number < len(pieces)
        if is_watched and first is None:
            first = number * PIECE_BYTES
        elif not is_watched and first is not None:
            yield Watched(name, first, content[first : number * PIECE_BYTES])
            first = None


def _fill(view: memoryview, content: bytes | bytearray) -> None:
    """Write what is not zeros: most of it is, and costs nothing then."""
    step, zeros = mmap.PAGESIZE, bytes(mmap.PAGESIZE)
    for start in range(0, len(content), step):
        part = content[start : start + step]
        if part != zeros[: len(part)]:
            view[start : start + len(part)] = part


def _changed(shadow: bytearray, view: memoryview, start: int, stop: int) -> tuple[int, int]:
    """Return where the two begin and end to differ, in whole words."""
    first, last = start, stop
    while last - first > WORD_BYTES:  # the first word that differs
        middle = first + max(WORD_BYTES, (last - first) // 2 // WORD_BYTES * WORD_BYTES)
        if shadow[first:middle] != view[first:middle]:
            last = middle
        else:
            first = middle
    begin, end_first, end_last = first, first, stop
    while end_last - end_first > WORD_BYTES:  # the last one
        middle = end_first + max(WORD_BYTES, (end_last - end_first) // 2 // WORD_BYTES * WORD_BYTES)
        if shadow[middle:end_last] != view[middle:end_last]:
            end_first = middle
        else:
            end_last = middle
    return begin, end_last


def count_states(stored: list[Stored]) -> int:
    """Return how many `states` yields."""
    return sum(1 + len(list(each.torn())) for each in stored)


def states(before: Image, stored: list[Stored]) -> Iterator[tuple[str, Image]]:
    """Yield what a process that ended anywhere on the way leaves, and where that is.

    Images share the mappings that are the same: who changes one takes a copy.
    """
    image = before
    for number, each in enumerate(stored):
        stop = each.start + len(each.after)
        for part in each.torn():
            torn = bytearray(image[each.name])
            torn[each.start : stop] = part
            yield f"store {number} torn, {each.name} at {each.place}", {**image, each.name: torn}
        whole = bytearray(image[each.name])
        whole[each.start : stop] = each.after
        image = {**image, each.name: whole}
        yield f"store {number}, {each.name} at {each.place}", image
