"""Which keeper a node has, by its config and by how it was started."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.model import KeepMemory
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.kept.keepers.keeper import Keeper, KeeperRefused, ProcessKeeper, received_memory
from ramsterd.kept.keepers.systemd_keeper import SystemdKeeper, give_up, refusal_of
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper


def choose_keeper(
    keep: KeepMemory | Path,
    environ: Mapping[str, str],
    received: Sequence[tuple[str, int]],
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
    store, memory = DescriptorStore(environ), received_memory(received)
    if keep is KeepMemory.AUTO or keep is KeepMemory.SYSTEMD:
        refusal = refusal_of(store, mappings=mappings)
        if not refusal:
            return SystemdKeeper(store, received)
        if keep is KeepMemory.SYSTEMD:
            raise KeeperRefused(refusal)
    keeper = (
        TmpfsKeeper(keep, bytes_wanted=bytes_wanted)
        if isinstance(keep, Path)
        else ProcessKeeper(received)
    )
    if store.has_manager:
        # It may have memory from before a change of the config, which would stay for as long as the
        # unit.
        give_up(store, [name for name, _ in memory])
    if isinstance(keep, Path):
        for _, descriptor in memory:
            os.close(descriptor)
    return keeper
