"""The memory of a node from one process to the next: what becomes of its files."""

import os
from contextlib import closing

import pytest

from nodemanager.ids import Incarnation
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.keepers.keeper import DESCRIPTOR_PREFIX, ProcessKeeper
from ramsterd.kept.layout import MAPPINGS, SUPER
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.super_page import ATTEMPTS_MAX
from tests.helpers.made_pages import MIB
from tests.helpers.node_memories import make_memory

LIMITS = StoreLimits(budget_bytes=MIB, budget_bytes_max=MIB, pages_max=1024)


def inherited(memory: KeptMemory) -> list[tuple[str, int]]:
    """Return what the next program of this process is started with."""
    return [(name, os.dup(fd)) for name, fd in memory.descriptors]


def test_each_program_of_a_process_hands_on_all_files() -> None:
    """The second had them from the first, and the third from the second."""
    everything = {DESCRIPTOR_PREFIX + name for name in (*MAPPINGS, SUPER)}
    received: list[tuple[str, int]] = []
    for attaches in range(4):
        with closing(make_memory(ProcessKeeper(received))) as memory:
            assert (memory.attaches, memory.given_up) == (attaches, "")
            memory.make_store(LIMITS, memory.incarnation or Incarnation(5))
            received = inherited(memory)
            assert {name for name, _ in received} == everything
            memory.end()
    for _, fd in received:
        os.close(fd)


def test_names_that_can_not_be_mapped_are_no_reason_to_give_pages_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As often as such a start is tried: this machine is what it fails for."""
    with closing(make_memory()) as memory:
        memory.make_store(LIMITS, Incarnation(5))
        received = inherited(memory)
        memory.end()
    with monkeypatch.context() as patch:
        patch.setattr("ramsterd.kept.memory.NameLog", fail)
        for _ in range(ATTEMPTS_MAX + 1):
            copies = [(name, os.dup(fd)) for name, fd in received]
            with pytest.raises(OSError, match="no room"):
                make_memory(ProcessKeeper(copies))
    with closing(make_memory(ProcessKeeper(received))) as memory:
        assert memory.given_up == ""


def fail(*_: object, **__: object) -> None:
    raise OSError("no room")
