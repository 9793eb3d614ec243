"""A store without pages, as an engine begins with when nothing was kept."""

from config.model import MemoryConfig
from ramsterd.core.arena import HeapMapping, MapMemory
from ramsterd.core.store import Store
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.pagepath.machines import limits_of


def fresh_pages(memory: MemoryConfig, map_memory: MapMemory = HeapMapping) -> KeptPages:
    return KeptPages(store=Store(map_memory, limits_of(memory)))
