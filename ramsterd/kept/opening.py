"""Opens what a keeper has, at a start: may this process use it, and is it whole?  Blocks.

Three ends: the memory is taken up, or there is none (then it is made anew), or the operator must
decide (an exception).  What can't be used and is nobody else's is given up, and the reason is kept
for the log.
"""

import mmap
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ramsterd.kept.keepers.keeper import Keeper, KeeperRefused
from ramsterd.kept.keepers.lock import lock_memory
from ramsterd.kept.layout import MAPPINGS, SUPER, SUPER_BYTES
from ramsterd.kept.super_page import (
    IS_NOT_OURS_TO_GIVE_UP,
    Expected,
    Gate,
    MemoryRefused,
    Owner,
    State,
    SuperPage,
    attach,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Owner):
    """Who starts here."""

    boot_id: bytes
    # Which one the state file names; None: none, and the memory's word is taken.
    memory_id: bytes | None


@dataclass(slots=True, kw_only=True)
class Opened:
    """Files by name, which the owner of this closes; without any, and without a page, begin anew."""

    files: dict[str, int]
    super_page: SuperPage | None
    # Why what was there was given up, as a clause; empty if it was not, or if there was nothing.
    given_up: str = ""
    # Whether the last process ended in order.
    was_clean: bool = False


def open_kept(keeper: Keeper, identity: Identity, held: ExitStack, *, discard: bool) -> Opened:
    """Take up what was kept.

    Args:
        keeper: Has it.
        identity: Whose it must be.
        held: Is given what must stay open as long as this process uses the memory.
        discard: Give up whatever is there.

    Raises:
        MemoryTaken: Another process uses it.
        MemoryRefused: It is not ours to give up.
        KeeperRefused: It can't be used.
    """
    files = keeper.take()
    closing = held.enter_context(ExitStack())
    for fd in files.values():
        closing.callback(os.close, fd)
    if SUPER in files:
        held.callback(os.close, lock_memory(files[SUPER]))
    if discard:
        return _give_up(keeper, closing, "an operator has discarded them" if files else "")
    if not files:
        return Opened(files={}, super_page=None)
    try:
        page = attach(_map_super(files), _expected(identity, files))
    except MemoryRefused as error:
        if error.gate in IS_NOT_OURS_TO_GIVE_UP:
            where = f"{keeper.description}: " if keeper.description else ""
            raise KeeperRefused(
                f"{where}{error}; to start without its pages, type {keeper.to_discard}"
            ) from None
        return _give_up(keeper, closing, str(error))
    was_clean = page.live.state is State.CLEAN
    page.write(
        replace(
            page.live,
            state=State.RUNNING,
            attempts=page.live.attempts + 1,
            attaches=page.live.attaches + 1,
        )
    )
    closing.pop_all()
    return Opened(files=files, super_page=page, was_clean=was_clean)


def _give_up(keeper: Keeper, closing: ExitStack, reason: str) -> Opened:
    closing.close()
    keeper.discard()
    return Opened(files={}, super_page=None, given_up=reason)


def _map_super(files: Mapping[str, int]) -> memoryview:
    fd = files.get(SUPER)
    if fd is None:
        raise MemoryRefused(Gate.TRUNCATED, f"no {SUPER}", f"{SUPER_BYTES} bytes")
    length = os.fstat(fd).st_size
    if length < SUPER_BYTES:
        raise MemoryRefused(Gate.TRUNCATED, f"{length} bytes", f"{SUPER_BYTES}")
    return memoryview(mmap.mmap(fd, SUPER_BYTES))


def _expected(identity: Identity, files: Mapping[str, int]) -> Expected:
    return Expected(
        cluster=identity.cluster,
        node=identity.node,
        node_name=identity.node_name,
        boot_id=identity.boot_id,
        memory_id=identity.memory_id,
        lengths={name: os.fstat(files[name]).st_size for name in MAPPINGS if name in files},
    )
