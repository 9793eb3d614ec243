"""Opens the memory of a node before anything else is made: it says which incarnation goes on.  Blocks."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from config.model import DaemonConfig, NodeConfig
from ramsterd.handover.names import Named
from ramsterd.host.boot import boot_id
from ramsterd.kept.keepers.choosing import choose_keeper
from ramsterd.kept.layout import MAPPINGS
from ramsterd.kept.left_behind import look_behind
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.opening import Identity
from ramsterd.kept.super_page import ID_BYTES

# And the super page.
_FILES: Final = len(MAPPINGS) + 1


def open_memory(
    daemon: DaemonConfig,
    cluster: str,
    node: NodeConfig,
    *,
    memory_id: str,
    memory_folder: str,
    environ: Mapping[str, str],
    received: Sequence[Named],
    now_seconds: int,
    discard: bool,
) -> KeptMemory:
    """Open what was kept, or begin with nothing.

    Args:
        daemon: The config of this node.
        cluster: The name of its cluster.
        node: Itself.
        memory_id: Which memory the state file names; empty: none.
        memory_folder: Which folder keeps that, by the state file; empty: none.
        environ: Says whether systemd has started this process.
        received: The descriptors that it was started with.
        now_seconds: Since 1970.
        discard: Give up what was kept.

    Raises:
        KeeperRefused: It can't be kept, or what is there is not ours to give up.
        MemoryTaken: Another daemon uses it.
        OSError: It can't be mapped.
    """
    memory = daemon.memory
    if memory_id and memory_folder:
        look_behind(memory.keep, Path(memory_folder), bytes.fromhex(memory_id), discard=discard)
    keeper = choose_keeper(
        memory.keep,
        environ,
        received,
        mappings=_FILES,
        bytes_wanted=memory.kept_bytes_max(),
        discard=discard,
    )
    identity = Identity(
        cluster=cluster,
        node=node.number,
        node_name=node.name,
        boot_id=boot_id(),
        memory_id=bytes.fromhex(memory_id) or None,
    )
    return KeptMemory(
        keeper,
        identity,
        new_memory_id=lambda: secrets.token_bytes(ID_BYTES),
        now_seconds=now_seconds,
        discard=discard,
    )
