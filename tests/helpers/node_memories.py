"""The memory of a node for tests of its daemon: kept by nobody, unless a test says who."""

import secrets
import weakref

from config.model import MemoryConfig
from nodemanager.ids import Incarnation
from ramsterd.kept.keepers.keeper import Keeper, ProcessKeeper
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.opening import Identity
from ramsterd.pagepath.machines import limits_of
from ramsterd.restart.node_memory import NodeMemory

IDENTITY = Identity(cluster="lab", node=1, node_name="one", boot_id=b"b" * 16, memory_id=None)


def make_memory(keeper: Keeper | None = None) -> KeptMemory:
    memory = KeptMemory(
        keeper or ProcessKeeper(),
        IDENTITY,
        new_memory_id=lambda: secrets.token_bytes(16),
        now_seconds=5,
    )
    # A process that ends unlocks it; in a test there are many, one after the other.
    weakref.finalize(memory, memory._held.close)
    return memory


def make_node_memory(
    config: MemoryConfig, incarnation: Incarnation, keeper: Keeper | None = None
) -> NodeMemory:
    memory = make_memory(keeper)
    return NodeMemory(
        memory, limits_of(config), memory.incarnation or incarnation, clock=lambda: 0.0
    )
