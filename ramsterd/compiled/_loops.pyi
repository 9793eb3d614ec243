from array import array
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

# What Python has to count, and to do; see put.c.
Stored: TypeAlias = tuple[
    int, int, int, int, int, int, int, int, int, list[int] | None, list[int] | None, bytes | None
]

LAYOUT: dict[str, int]
LZ4_VERSION: str
SOURCES_SUM: int

class Loops:
    def __new__(
        cls,
        *,
        arena: memoryview,
        slot_rows: memoryview,
        rows: memoryview,
        redo: memoryview,
        entries: memoryview,
        slots_of_class: bytes,
        chunks_of_block: object,
        block_state: object,
        free_slots: object,
        leaf_used: object,
        free_rows: list[int],
    ) -> Self: ...
    def get_each(
        self,
        root: int,
        shift: int,
        prefix: int,
        indexes: list[int],
        zero_page: bytes,
        pages: list[bytes | None],
        elsewhere: list[tuple[int, int]],
        /,
    ) -> tuple[int, int]: ...
    def gather(self, block: int, /) -> tuple[bytes, bytes, bytes, bytes, bytes] | None: ...
    def hand_over(
        self,
        block: int,
        rows: array[int],
        serials: array[int],
        /,
        *holders_and_is_kept: int,
    ) -> tuple[int, int, list[int] | None] | None: ...
    def forget(self, block: int, /) -> tuple[int, int] | None: ...
    def places(
        self, elsewhere: list[tuple[int, int]], /
    ) -> tuple[int, list[tuple[int, int, int]]] | None: ...
    def come_home(
        self,
        rows: list[int],
        serials: list[int],
        packed: list[int],
        zpages: memoryview,
        families: Sequence[int | None],
        pages: list[bytes | None],
        at: int,
        start: int,
        stacks: Sequence[list[int]],
        family: int,
        installs: bool,
        /,
    ) -> tuple[int, int, int, int, int]: ...
    def get(
        self,
        root: int,
        shift: int,
        prefix: int,
        index: int,
        count: int,
        zero_page: bytes,
        pages: list[bytes | None],
        elsewhere: list[tuple[int, int]],
        /,
    ) -> tuple[int, int]: ...
    def put(
        self,
        root: int,
        shift: int,
        prefix: int,
        index: int,
        pages: memoryview,
        stacks: Sequence[list[int]],
        blocks: set[int] | None,
        serial: int,
        serial_limit: int,
        takes_slots: bool,
        /,
    ) -> tuple[int, Stored | None, int]: ...
    def serve(
        self,
        root: int,
        shift: int,
        prefix: int,
        requests: memoryview,
        size: int,
        is_structured: bool,
        is_writable: bool,
        pages_max: int,
        skip: int,
        stacks: Sequence[list[int]],
        blocks: set[int] | None,
        serial: int,
        serial_limit: int,
        /,
    ) -> tuple[bytes | None, int, int, int, int, int, int, Stored | None, int, int, int]: ...

def watch(watcher: Callable[[str], object] | None, /) -> None: ...
