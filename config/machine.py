"""What a file asks for and this machine can hardly give: warnings, for tomorrow it may."""

import os

from config.model import DaemonConfig
from config.rules import socket_paths
from config.units import format_bytes, human_bytes


def memory_of_machine() -> int:
    """Return all of the memory of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def doubts_of_descriptors(daemon: DaemonConfig, *, clients_max: int) -> list[str]:
    """Return what a process whose clients may have so many file descriptors can't keep, a line each."""
    nbd = daemon.nbd.connections_max * len(daemon.export)
    nbd = nbd if daemon.nbd.socket is not None or daemon.nbd.listen else 0
    tmem = daemon.tmem.connections_max if daemon.tmem.socket is not None else 0
    if nbd + tmem <= clients_max:
        return []
    found = f"found {nbd} clients of NBD and {tmem} of tmem in all"
    expected = f"expected at most {clients_max}, for which there are file descriptors"
    help_text = "the rest is refused.  Raise LimitNOFILE= in the unit or ulimit -n"
    return [f"nbd.connections_max, tmem.connections_max: {found}, {expected}; {help_text}"]


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
