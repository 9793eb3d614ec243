"""Which keeper a node has, by its config and by how it was started."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from config.model import KeepMemory
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.kept.keepers.keeper import Keeper, ProcessKeeper
from ramsterd.kept.keepers.systemd_keeper import SystemdKeeper
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper


def choose_keeper(
    keep: KeepMemory | Path,
    environ: Mapping[str, str],
    received: Iterable[tuple[str, int]],
    *,
    mappings: int,
    bytes_wanted: int,
) -> Keeper:
    """Return who keeps the memory of this node.

    Args:
        keep: `[memory] keep`.
        environ: Says whether systemd has started this process.
        received: What it was started with; what is not ours among it is left alone.
        mappings: How many will be made.
        bytes_wanted: What they may take together once they are full.

    Raises:
        KeeperRefused: The keeper that was asked for can't be had.
        MemoryTaken: Another daemon uses the folder.
    """
    if isinstance(keep, Path):
        return TmpfsKeeper(keep, bytes_wanted=bytes_wanted)
    store = DescriptorStore(environ)
    # What does not say how many it keeps is older than that (systemd 254), and may keep all.
    has_room = store.descriptors_max is None or store.descriptors_max >= mappings
    if keep is KeepMemory.SYSTEMD or (keep is KeepMemory.AUTO and store.has_manager and has_room):
        return SystemdKeeper(store, received, mappings=mappings)
    return ProcessKeeper(received)
