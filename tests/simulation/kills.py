"""Kills of a process inside its operations, between any two stores, in a cluster whose other nodes go on.

`tests/crash` ends a process at each of its stores, and its peers are part of the model there.  Here they are real: what
a process leaves half done meets the flushes, lists and copies of nodes that know nothing of it.
"""

import dis
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import ramsterd
from ramsterd.kept.suspects import LEFT_BY_CRASH
from tests.simulation.cluster import Cluster

_ROOMS: Final = tuple(
    str(Path(ramsterd.__file__).parent / room)
    for room in (
        "kept/", "core/hot.py", "core/tree_edits.py", "core/nodes.py", "core/objects.py", "core/rows.py",
        "core/replace.py", "core/versions.py", "core/install.py", "core/leaving.py", "core/row_sweep.py",
        "core/foreign_pages.py", "core/block_columns.py", "core/zbud.py", "core/redo.py",
    )
)  # fmt: skip
# They only look, and often.
_LOOKING: Final = frozenset(
    {"rows_held_by", "held_by", "live_spans", "blocks_with_room", "check_invariants", "find"}
)
# What stores an item or a slice, in mappings and elsewhere.
_STORES: Final = frozenset(
    dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap
)
# How many stores away a kill is.
_DISTANCES: Final = (1, 5, 30, 300, 1000)


class Killed(BaseException):
    """The process ends here."""


class Kills:
    """Kills one node at a time, at a random place of what it does next."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self._inside = cluster.inside
        cluster.inside = self._watched  # type: ignore[method-assign]  # all code of nodes runs there
        self._victim: int | None = None
        self._left = 0.0
        self.total = 0

    def aim(self, number: int) -> None:
        """Kill a node soon, if no other is to be."""
        if self._victim is None:
            self._victim = number
            self._left = self._rng.choice(_DISTANCES) * self._rng.random()

    def call_off(self) -> None:
        """Kill nobody any more."""
        self._victim = None

    def run(self, operation: Callable[[], object]) -> int | None:
        """Do something; if a node was killed meanwhile, go on with its memory, and return its number."""
        try:
            operation()
        except Killed:
            victim, self._victim = self._victim, None
            assert victim is not None
            self.total += 1
            self.restart(victim)
            return victim
        return None

    def restart(self, number: int) -> None:
        """End a process, and go on with its memory, in which nothing is but what a crash leaves."""
        cluster = self._cluster
        cluster.restart_kept(number)
        memory = cluster.memory(number)
        attached = memory._memory.attached
        assert attached is not None
        assert not attached.damaged
        faults = attached.judgement.faults
        assert {fault for fault, _ in faults} <= LEFT_BY_CRASH
        assert not +attached.judgement.broken
        memory._memory.on_served()
        cluster[number].engine.check_invariants()

    def _watched(self, number: int) -> AbstractContextManager[None]:
        inside = self._inside(number)
        return self._traced(inside) if number == self._victim else inside

    @contextmanager
    def _traced(self, inside: AbstractContextManager[None]) -> Iterator[None]:
        before = sys.gettrace()
        with inside:
            sys.settrace(self._on_call)
            try:
                yield
            finally:
                sys.settrace(before)

    def _on_call(self, frame: FrameType, event: str, _: object) -> Any:
        del event
        code = frame.f_code
        if not code.co_filename.startswith(_ROOMS) or code.co_name in _LOOKING:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._on_opcode

    def _on_opcode(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] in _STORES:
            self._left -= 1
            if self._left <= 0:
                raise Killed
        return self._on_opcode
