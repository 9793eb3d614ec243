"""One zpage that comes home, as its holder got it."""

from ramsterd.core.family import Family
from ramsterd.core.install import come_home
from ramsterd.core.page import PoolKind
from ramsterd.core.room import Room


def install(room: Room, row: int, zpage: bytes | memoryview) -> bool:
    """Have the page of a row come home; return whether it is kept."""
    rows, kind = room.versions.rows, room.versions.kind_of(row)
    family = Family.OWN_EPHEMERAL if kind is PoolKind.EPHEMERAL else Family.OWN_CLEAN
    pages, installed = come_home(
        room, [row], [rows.serial(row)], [rows.packed(row)], memoryview(zpage), [family]
    )
    assert pages[0], "what a test sent away is what comes home"
    return installed == 1
