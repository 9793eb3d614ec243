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
from tests.helpers.sparse_content import Content

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

# What each mapping holds, by its name.
Image = dict[str, Content]


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

    def __init__(self, image: Mapping[str, Content] | None = None) -> None:
        """Begin with nothing, or with what a process has left."""
        self._mappings: dict[str, FileMapping] = {}
        self._files: dict[str, int] = {}
        self._watched: list[Watched] = []
        self._found: list[Stored] = []
        self._may_have_stored = False
        self._place = ""
        for name, content in (image or {}).items():
            self._files[name] = self.make(name, content.length)
            content.fill(self._mappings[name].view)

    def take(self) -> dict[str, int]:
        files, self._files = self._files, {}
        return files

    def make(self, name: str, length: int) -> int:
        # What maps it makes it as long, and looks at no less.
        length = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = make_memfd(name, length)
        self._mappings[name] = FileMapping(os.dup(fd), name, length)
        return fd

    def map_memory(self, name: str, length: int) -> FileMapping:
        """Map a new file, for a store without the rest of what is kept."""
        return FileMapping(self.make(name, length), name, length)

    def discard(self) -> None:
        self._mappings = {}

    def finish(self) -> None:
        pass

    def close(self) -> None:
        for fd in self._files.values():
            os.close(fd)

    def image(self) -> Image:
        """Return what all mappings hold."""
        return {name: Content.of_mapping(mapping) for name, mapping in self._mappings.items()}

    def record(self, operation: Callable[[], object]) -> list[Stored]:
        """Run something; return what it stored, in order."""
        before = self.image()
        self._watched = [
            part
            for name, content in before.items()
            for part in watched(name, content, self._mappings[name].view)
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
        expected, found = dict(before), self.image()
        for each in self._found:
            expected[each.name] = expected[each.name].stored(each.start, each.after)
        for name, content in expected.items():
            assert content == found[name], f"{name}: a store where nobody watched"

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
            # A bytearray compares as memory; a memoryview would compare byte by byte.
            if part.shadow != part.view:
                self._note(part)

    def _note(self, part: "Watched") -> None:
        view = part.view
        start, stop = _changed(part.shadow, view, 0, len(part.shadow))
        before, after = bytes(part.shadow[start:stop]), bytes(view[start:stop])
        part.shadow[start:stop] = after
        self._found.append(Stored(part.name, part.start + start, before, after, self._place))


@dataclass(frozen=True, slots=True)
class Watched:
    """A part of a mapping, and what it held when it was last looked at."""

    name: str
    start: int
    view: memoryview
    shadow: bytearray


def watched(name: str, content: Content, view: memoryview) -> Iterator[Watched]:
    """Yield the parts of a mapping that hold something, its first, and what is right behind each of these."""
    starts = range(0, content.length, PIECE_BYTES)
    used = [
        start == 0 or not content.is_empty(start, min(start + PIECE_BYTES, content.length))
        for start in starts
    ]
    first = None
    # One more, which is not watched, ends the last part.
    for number in range(len(used) + 1):
        is_watched = any(used[max(0, number - PIECES_BEHIND) : number + 1]) and number < len(used)
        if is_watched and first is None:
            first = number * PIECE_BYTES
        elif not is_watched and first is not None:
            stop = min(number * PIECE_BYTES, content.length)
            yield Watched(name, first, view[first:stop], content.part(first, stop))
            first = None


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
    """Yield what a process that ended anywhere on the way leaves, and where that is."""
    image = before
    for number, each in enumerate(stored):
        content = image[each.name]
        for part in each.torn():
            torn = content.stored(each.start, part)
            yield f"store {number} torn, {each.name} at {each.place}", {**image, each.name: torn}
        image = {**image, each.name: content.stored(each.start, each.after)}
        yield f"store {number}, {each.name} at {each.place}", image
