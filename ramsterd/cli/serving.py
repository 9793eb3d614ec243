"""`ramsterd run` once its files are read and its clients can connect: memory, daemon, and what comes after it.

The modules of the daemon are imported with this one, and not before it is needed.
"""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import trio

from nodemanager.incarnations import first_incarnation
from ramsterd.cli.output import EX_CONFIG, fail
from ramsterd.core.codec import import_codecs
from ramsterd.daemon import Daemon
from ramsterd.endpoints.descriptors import Descriptors
from ramsterd.endpoints.opening import CannotServe, leaves
from ramsterd.endpoints.trying import endpoints_of
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.names import Named
from ramsterd.host.daemon_protection import LockRefused, Protection
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.host.logs.log import Log
from ramsterd.host.loop_clock import LoopClock, monotonic_nanoseconds
from ramsterd.host.signals import hold_stop
from ramsterd.host.successor import command_line
from ramsterd.kept.keepers.keeper import KeeperRefused, MemoryTaken
from ramsterd.kept.layout import layout_name
from ramsterd.pagepath.machines import limits_of
from ramsterd.reconfigure.examine import Examined
from ramsterd.reconfigure.node_files import NodeFiles
from ramsterd.restart.giving import give
from ramsterd.restart.node_memory import NodeMemory
from ramsterd.restart.opening import open_memory
from ramsterd.restart.restarter import check_start
from ramsterd.statefile.keeper import StateKeeper


def serve(
    examined: Examined,
    config: Path,
    *,
    log: Log,
    state: StateKeeper,
    descriptors: Descriptors,
    arrival: Arrival,
    store: DescriptorStore,
    protection: Protection,
    discard_memory: bool,
) -> None:
    """Serve until an order or a signal ends it; at `ramsterctl restart` become the next program."""
    hold_stop()
    import_codecs()
    try:
        # All is imported.  Clients that connect meanwhile wait in the sockets that are open.
        protection.lock_program()
        memory = _open_memory(config, examined, state, arrival.others, discard=discard_memory)
        daemon = Daemon(
            examined.daemon,
            examined.cluster,
            examined.node,
            memory=memory,
            clock_milliseconds=_wall_milliseconds,
            rng=random.Random(),  # noqa: S311  jitter and ties, no secrets
            environ=os.environ,
            log=log,
            credentials=examined.credentials,
            heartbeat_key=examined.heartbeat_key,
            # From the root: the shell of an operator who is told of it may be in another folder.
            files=NodeFiles(config.absolute(), examined.node),
            state=state,
            descriptors=descriptors,
            arrival=arrival,
            check_start=lambda places: check_start(
                _check_command(config, examined, memory, places)
            ),
            protection=protection,
        )
    except LockRefused as error:
        _fail_to_lock(config, error)
    except OSError as error:  # memory that can't be mapped
        _fail(str(error), 1)
    try:
        protection.lock_memory()
    except LockRefused as error:
        # The memory is not what ended this start.
        memory.end()
        _fail_to_lock(config, error)
    if protection.is_locking:
        memory.fault_in()
    protection.say()
    try:
        departure = trio.run(daemon.run, clock=LoopClock())
    except BaseExceptionGroup as group:
        # Not `except*`: what it raises, such as SystemExit, comes out in a group again, with a
        # traceback.
        errors = list(leaves(group))
        cannot = [error for error in errors if isinstance(error, CannotServe)]
        if len(cannot) < len(errors):
            raise
        # The memory is not what ended this start.
        memory.end()
        status = EX_CONFIG if any(error.is_in_the_files for error in cannot) else 1
        _fail("; ".join(str(error) for error in cannot), status)
    try:
        memory.end()
    except KeeperRefused as error:
        _fail(f"the pages of this node can't be given up: {error}", 1)
    if departure is None:
        return
    arguments = command_line("run", "--config", str(config))
    try:
        give(departure, store, arguments=arguments, environ=dict(os.environ))
    except OSError as error:
        _fail(f"can't become the next ramsterd ({arguments[0]}): {error.strerror or error}", 1)


def _open_memory(
    config: Path,
    examined: Examined,
    state: StateKeeper,
    received: Sequence[Named],
    *,
    discard: bool,
) -> NodeMemory:
    """Open the memory of this node; end if an operator must decide first."""
    daemon = examined.daemon
    try:
        memory = open_memory(
            daemon,
            examined.cluster.name,
            examined.node,
            memory_id=state.marks.memory_id,
            memory_folder=state.marks.memory_folder,
            environ=os.environ,
            received=received,
            now_seconds=_wall_milliseconds() // 1000,
            discard=discard,
        )
        return NodeMemory(
            memory,
            limits_of(daemon.memory),
            memory.incarnation
            or first_incarnation(
                clock_milliseconds=_wall_milliseconds(), last=state.last_incarnation
            ),
            clock=lambda: monotonic_nanoseconds() / 1e9,
        )
    except KeeperRefused as error:
        _fail(f"{config}: memory.keep: {error}", EX_CONFIG)
    except MemoryTaken as error:
        _fail(str(error), 1)


def _check_command(
    config: Path, examined: Examined, memory: NodeMemory, places: Sequence[tuple[str, int]]
) -> list[str]:
    """Return what checks whether the program that is installed then could go on with these pages.

    `places` is where this one accepts links.
    """
    owner = memory.owner
    held = endpoints_of(examined.daemon, examined.node, places)
    return command_line(
        "check-config",
        *("--config", str(config)),
        *("--layout", layout_name()),
        *("--keeper", memory.statistics().keeper),
        *("--owner", owner.cluster, str(owner.node), owner.node_name),
        *(word for key, endpoint in held for word in ("--holds", key, endpoint)),
    )


def _fail_to_lock(config: Path, error: LockRefused) -> NoReturn:
    _fail(f"{config}: memory.lock: {error}", EX_CONFIG)


def _wall_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _fail(message: str, status: int) -> NoReturn:
    fail(message, status, program="ramsterd")
