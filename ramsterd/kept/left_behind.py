"""Memory that a folder keeps while the config names another keeper: no page ends by a change of the config alone.

Pages do not move to another keeper.  A start without them would be the last that could find them,
because from then on the state file names its own memory.  Blocks.
"""

from contextlib import closing
from pathlib import Path

from config.model import KeepMemory
from ramsterd.kept.keepers.keeper import KeeperRefused
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper, read_file
from ramsterd.kept.layout import SUPER, SUPER_BYTES
from ramsterd.kept.super_page import is_of_memory


def look_behind(keep: KeepMemory | Path, folder: Path, memory_id: bytes, *, discard: bool) -> None:
    """See that the memory of the last run is not in a folder that this start does not use.

    Args:
        keep: `[memory] keep` of this start.
        folder: Where the last run kept its memory.
        memory_id: Which memory that is.
        discard: Give it up.

    Raises:
        KeeperRefused: It is there, or nobody can tell.
        MemoryTaken: Another daemon uses that folder.
    """
    # One that was moved or copied is in both, or is the same by another path.
    if keep == folder or (isinstance(keep, Path) and _has(keep, memory_id)):
        return
    if not _has(folder, memory_id):
        return
    if not discard:
        found = keep if isinstance(keep, Path) else keep.value
        raise KeeperRefused(
            f"found {found}, but the pages of the last run are kept by {folder}, and can't move to another keeper:"
            f' set keep = "{folder}" again; to end these pages, type `ramsterd run --discard-memory`'
        )
    with closing(TmpfsKeeper(folder, bytes_wanted=0)) as keeper:
        keeper.discard()


def _has(folder: Path, memory_id: bytes) -> bool:
    """Return whether a folder keeps a memory."""
    try:
        page = read_file(folder, SUPER, SUPER_BYTES)
    except KeeperRefused as error:
        raise KeeperRefused(
            f"the pages of the last run may be there, and nobody can tell: {error}: correct that; to end these pages,"
            f" remove {folder}"
        ) from None
    return is_of_memory(page, memory_id)
