"""What a file asks for and this machine can hardly give: warnings, for tomorrow it may."""

import os

from config.model import DaemonConfig
from config.rules import socket_paths
from config.units import format_bytes, human_bytes


def memory_of_machine() -> int:
    """Return all of the memory of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def doubts_of_machine(daemon: DaemonConfig, *, memory_bytes: int) -> list[str]:
    """Return what a machine with so much memory can hardly give, a line each."""
    found = []
    budget = daemon.memory.budget
    if budget >= memory_bytes:
        found.append(
            f"memory.budget: found {format_bytes(budget)}, expected less than the memory of this machine"
            f" ({human_bytes(memory_bytes)})"
        )
    found += [
        f"{key}: found no folder {path.parent}, expected one when the daemon starts"
        " (systemd/ramsterd.service makes /run/ramster)"
        for key, path in socket_paths(daemon)
        # False also where we may not look.
        if not os.path.isdir(path.parent)
    ]
    return found
