"""Which keeper a node has, by its config and by how it was started."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from config.model import KeepMemory
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.kept.keepers.keeper import Keeper, KeeperRefused, ProcessKeeper, received_memory
from ramsterd.kept.keepers.systemd_keeper import SystemdKeeper, give_up, refusal_of
from ramsterd.kept.keepers.tmpfs_keeper import TmpfsKeeper

# What else an operator can do than to undo a change that the running daemon's pages don't survive.
OR_END_THEM: Final = (
    "or to change it, type `ramsterctl stop --forget`, which ends these pages, and start ramsterd"
)


def choose_keeper(
    keep: KeepMemory | Path,
    environ: Mapping[str, str],
    received: Sequence[tuple[str, int]],
    *,
    mappings: int,
    bytes_wanted: int,
    discard: bool = False,
) -> Keeper:
    """Return who keeps the memory of this node.

    Pages do not move between a folder and anybody else.  So a folder is refused while there is
    memory that was kept elsewhere: a change of the config alone ends no page.

    Args:
        keep: `[memory] keep`.
        environ: Says whether systemd has started this process.
        received: What it was started with; what is not ours among it is left alone.
        mappings: How many will be made.
        bytes_wanted: What they may take together once they are full.
        discard: Give up what was kept elsewhere.

    Raises:
        KeeperRefused: The keeper that was asked for can't be had, or other memory is there.
        MemoryTaken: Another daemon uses the folder.
    """
    store, memory = DescriptorStore(environ), received_memory(received)
    if keep is KeepMemory.AUTO or keep is KeepMemory.SYSTEMD:
        refusal = refusal_of(store, mappings=mappings)
        if not refusal:
            return SystemdKeeper(store, received)
        if keep is KeepMemory.SYSTEMD:
            raise KeeperRefused(refusal)
    if isinstance(keep, Path) and memory and not discard:
        raise KeeperRefused(
            f"found {keep}, but the pages of the last run are kept by systemd, and can't move to a folder:"
            ' set keep = "systemd" again; to end these pages, type `systemctl stop ramsterd`, then `systemctl start'
            " ramsterd`"
        )
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


def check_same_keeper(keep: KeepMemory | Path, keeper: str) -> None:
    """Check whether the next program of a process finds the pages of this one.

    It inherits whatever is found by no path, and of a folder it must be told.

    Args:
        keep: `[memory] keep` of the next program.
        keeper: `description` of the keeper of this one.

    Raises:
        KeeperRefused: It would not.
    """
    wanted = str(keep) if isinstance(keep, Path) else ""
    has = keeper if keeper.startswith("/") else ""
    if wanted == has:
        return
    found = keep if isinstance(keep, Path) else keep.value
    who = f"are kept by {keeper}" if keeper else "are in the memory of its process"
    raise KeeperRefused(
        f"found {found}, but the pages of the running daemon {who}, and can't move to another keeper:"
        f" set keep as it was; {OR_END_THEM}"
    )
