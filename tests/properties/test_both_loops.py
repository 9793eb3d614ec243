"""A store served by the compiled loops, and one served by Python's, leave the same bytes in all their mappings.

Which pages of a put are everyday is for the compiled loops to say: Python does as many of them at a time.  Else nodes of the page
table would come and go in another order, and free ones differ.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from ramsterd.core.arena import MemfdMapping
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.pools import Pool
from ramsterd.core.store import Store
from ramsterd.core.table import PageObject
from ramsterd.core.twin import Twin
from tests.helpers.made_pages import MIB, make_store
from tests.helpers.requirements import require_compiled
from tests.properties.store_machine import StoreMachine, settings_of_machines
from tests.properties.store_model import StoreModel


class NotedTwin:
    """Compiled loops, and how far they came in each put."""

    def __init__(self, twin: Twin, reached: deque[tuple[int, bool]]) -> None:
        self._twin, self._reached = twin, reached
        self.get = twin.get

    def put(self, *arguments: Any) -> tuple[int, bool]:
        self._reached.append(self._twin.put(*arguments))
        return self._reached[-1]


class PythonTwin:
    """Does in Python what another has done in each put."""

    def __init__(self, store: Store, reached: deque[tuple[int, bool]]) -> None:
        self._store, self._reached = store, reached

    def get(self, *_: Any) -> int:
        return 0

    def put(
        self, pool: Pool, page_object: PageObject, index: int, pages: memoryview, takes_slots: bool
    ) -> tuple[int, bool]:
        (wanted, needs_slot), done = self._reached.popleft(), 0
        while done < wanted:
            stored, run = self._store._put_in_leaf(
                pool,
                page_object,
                index + done,
                wanted - done,
                pages[done * PAGE_BYTES :],
                takes_slots,
            )
            assert stored == run > 0, "Python comes as far"
            done += stored
        return done, needs_slot


class BothModels:
    """Two models that do the same; what they answer must be the same."""

    def __init__(self, *models: StoreModel) -> None:
        self.models = models

    def __getattr__(self, name: str) -> Any:
        first, second = (getattr(model, name) for model in self.models)
        if not callable(first):
            return first

        def both(*arguments: Any, **named: Any) -> Any:
            answer = first(*arguments, **named)
            assert second(*arguments, **named) == answer, name
            return answer

        return both


class BothMachine(StoreMachine):
    """Does to two stores what `StoreMachine` does to one."""

    mappings: list[dict[str, MemfdMapping]]
    stores: tuple[Store, Store]

    def make_model(self, pages_max: int) -> Any:
        self.mappings = []
        models = [self._make_one(pages_max) for _ in range(2)]
        reached: deque[tuple[int, bool]] = deque()
        compiled, python = (model.store for model in models)
        assert compiled.twin is not None
        self.stores = compiled, python
        assert compiled.versions.loops is not None
        python.versions.loops = None
        compiled.twin = NotedTwin(compiled.twin, reached)  # type: ignore[assignment]
        python.twin = PythonTwin(python, reached)  # type: ignore[assignment]
        python.hold_twin = None
        return BothModels(*models)

    def _make_one(self, pages_max: int) -> StoreModel:
        made: dict[str, MemfdMapping] = {}

        def map_memory(name: str, length: int) -> MemfdMapping:
            made[name] = MemfdMapping(name, length)
            return made[name]

        self.mappings.append(made)
        return StoreModel(make_store(2 * MIB, pages_max=pages_max, map_memory=map_memory))

    @invariant()
    def has_the_same_bytes(self) -> None:
        if hasattr(self, "model"):
            ours, others = self.mappings
            for name, mapping in ours.items():
                for start, stop in spans(mapping, others[name]):
                    ours_here, others_here = mapping.view[start:stop], others[name].view[start:stop]
                    assert bytes(ours_here) == bytes(others_here), name

    @invariant()
    def finds_the_same_room_next(self) -> None:
        if hasattr(self, "model"):
            ours, others = (room_of(store) for store in self.stores)
            assert ours == others


def room_of(store: Store) -> list[object]:
    """Return where the next rows and slots come from, in which order."""
    rows, zbud = store.rows, store.zbud
    stacks = [zbud.stacks(family) for family in Family]
    return [
        rows.stack, rows.frames(), rows.used, rows.freed, stacks, zbud.lists_of_room,
    ]  # fmt: skip


def spans(*mappings: MemfdMapping) -> Iterator[tuple[int, int]]:
    for mapping in mappings:
        yield from mapping.resident_spans()


def test_both_kinds_of_loops_leave_the_same_bytes() -> None:
    require_compiled()
    found = settings_of_machines()
    run_state_machine_as_test(
        BothMachine, settings=settings(found, max_examples=found.max_examples // 4)
    )
