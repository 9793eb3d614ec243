"""Processes of a node that follow one another in the same memory, as its daemon takes it up."""

import os

from config.model import MemoryConfig
from ramsterd.kept.keepers.keeper import ProcessKeeper
from ramsterd.restart.node_memory import NodeMemory
from tests.helpers.node_memories import make_node_memory


def next_memory(before: NodeMemory, config: MemoryConfig) -> NodeMemory:
    """Attach what a process has left that was killed, and does nothing more."""
    inherited = [(name, os.dup(descriptor)) for name, descriptor in before.descriptors]
    before._memory.close()
    return make_node_memory(config, before.incarnation, ProcessKeeper(inherited))
