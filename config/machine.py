"""What the files of a node ask for and this machine does not give: pure rules over `config.facts`."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from config.access import ENTER, READ, ROOT, WRITE, why_not
from config.endpoint import is_loopback, parse_address, parse_host, split_endpoint
from config.facts import Machine, PlaceType
from config.findings import Finding
from config.limits import PAGE_BYTES, TABLE_BYTES_PER_PAGE
from config.memory import MemoryBound, tightest
from config.memory_folder import judge_memory_folder
from config.model import DaemonConfig, LockMemory, NodeConfig
from config.reader import show
from config.rules import socket_paths
from config.shares import describe_size
from config.units import human_bytes

# An idle daemon has 42 MiB resident; the rest is for buffers of some clients.
PROCESS_BYTES: Final = 48 << 20
# What one that serves swap has more: its spare heap, whole libraries, and stacks of threads.
SWAP_PROCESS_BYTES: Final = 34 << 20
RAISE_LOCK_LIMIT: Final = (
    "set LimitMEMLOCK=infinity in the unit, or type `ulimit -l unlimited` as root before ramsterd"
)
ANY_WRITE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
# Pages of peers have tables too: so many are in the budget if all shrink to half.
FOREIGN_PAGES_PER_BUDGET_PAGE: Final = 2


def judge_machine(
    daemon: DaemonConfig, node: NodeConfig, machine: Machine, *,
    file: str, is_start: bool, at: str = "node",
) -> list[Finding]:  # fmt: skip
    """Return everything in which the files of a node and this machine disagree, errors first.

    Args:
        daemon: Its own file.
        node: Its entry in the cluster file.
        machine: What was read of this machine.
        file: The name of its own file.
        is_start: Whether the daemon starts now, so that what is missing now is missing.
        at: The key of its entry in the cluster file.
    """
    found = [
        *judge_memory(daemon, machine.memory, file),
        *judge_lock(daemon, machine.lock_limit_bytes, file=file, is_start=is_start),
        *_judge_files(daemon, machine, file),
        *_judge_cluster_file(daemon, machine),
        *_judge_state_dir(daemon, machine, file, is_start=is_start),
        *([] if is_start else judge_memory_folder(daemon, machine, file)),
        *_judge_sockets(daemon, machine, file, is_start=is_start),
        *_judge_addresses(daemon, node, machine, file, at),
    ]
    return sorted(found, key=lambda finding: not finding.is_error)


def judge_budget(budget: int, bounds: tuple[MemoryBound, ...], *, more: int = 0) -> Finding | None:
    """Return why a budget, with so much more memory beside it, does not fit; None if it does."""
    fatal = [bound for bound in bounds if bound.is_fatal and bound.limit_bytes <= budget]
    over = [bound for bound in bounds if bound.limit_bytes < budget + more]
    if not fatal and not over:
        return None
    bound = tightest(fatal or over)
    end = "ends the daemon" if bound.is_fatal else "slows the daemon, or ends it"
    beside = f" with up to {human_bytes(more)} beside it" if more else ""
    return Finding(
        file="",
        key="memory.budget",
        found=f"{describe_size(budget)}{beside}",
        expected=f"less than {human_bytes(bound.limit_bytes)} together ({bound.name}):"
        f" beyond that the kernel {end}",
        is_error=bool(fatal),
    )


def tables_bytes(daemon: DaemonConfig) -> int:
    """Return how much memory the tables of a node may come to use, beside its budget."""
    own = sum(export.size // PAGE_BYTES for export in daemon.export)
    if daemon.tmem.socket is not None:
        own += daemon.tmem.user_pages_max
    memory = daemon.memory
    foreign_bytes = memory.budget * memory.foreign_fraction_max * FOREIGN_PAGES_PER_BUDGET_PAGE
    pages = min(own, memory.pages_max) + int(foreign_bytes) // PAGE_BYTES
    return min(TABLE_BYTES_PER_PAGE * pages, memory.tables_bytes(memory.budget))


def beside_budget_bytes(daemon: DaemonConfig) -> int:
    """Return how much memory a daemon may come to use beside its budget: tables and process."""
    process = PROCESS_BYTES + (SWAP_PROCESS_BYTES if daemon.serves_swap else 0)
    return process + tables_bytes(daemon)


def judge_memory(
    daemon: DaemonConfig, bounds: tuple[MemoryBound, ...], file: str
) -> Iterator[Finding]:
    """Yield why budget, tables and process do not fit into the memory of a machine."""
    finding = judge_budget(daemon.memory.budget, bounds, more=beside_budget_bytes(daemon))
    if finding is not None:
        yield replace(finding, file=file)
    elif daemon.memory.budget_max:
        finding = judge_budget(daemon.memory.budget_max, bounds)
        if finding is not None:  # nobody has set it yet, and `memory set` judges it again
            yield replace(finding, file=file, key="memory.budget_max", is_error=False)


def judge_lock(
    daemon: DaemonConfig, limit_bytes: int | None, *, file: str, is_start: bool
) -> Iterator[Finding]:
    """Yield what a limit on locked memory means for a daemon that is to lock its own.

    Any limit is too low: mappings count whole, of which little is in use, and an allocation that
    would pass it fails.
    """
    lock = daemon.memory.lock
    if limit_bytes is None or lock is LockMemory.NO:
        return
    found = (
        f"{show(lock.value)}, and at most {human_bytes(limit_bytes)} may be locked (RLIMIT_MEMLOCK)"
    )
    if lock is LockMemory.YES:
        expected = f"no limit: {RAISE_LOCK_LIMIT}"
        yield Finding(
            file=file, key="memory.lock", found=found, expected=expected, is_error=is_start
        )
    elif daemon.serves_swap:
        expected = (
            "no limit for an export with swap = true, or the kernel may move memory of ramsterd to"
            f" swap: {RAISE_LOCK_LIMIT}"
        )
        yield Finding(file=file, key="memory.lock", found=found, expected=expected)


def files_to_read(daemon: DaemonConfig, file: str) -> list[tuple[str, Path]]:
    """Return the files that a daemon reads at its start and at each reload, with their keys."""
    files = [("", Path(file)), ("cluster", daemon.cluster)]
    if daemon.heartbeat_key is not None:
        files.append(("heartbeat_key", daemon.heartbeat_key))
    if (tls := daemon.tls) is not None:
        files += [
            ("tls.ca", tls.ca),
            ("tls.certificate", tls.certificate),
            ("tls.key", tls.key),
        ]
    return files


def _judge_files(daemon: DaemonConfig, machine: Machine, file: str) -> Iterator[Finding]:
    user = machine.user
    for key, path in files_to_read(daemon, file):
        reason = why_not(user, machine.ways[path], READ)
        if reason is not None:
            expected = f"a file that user {user.name} can read"
            yield Finding(file=file, key=key, found=reason, expected=expected, is_error=True)


def _judge_cluster_file(daemon: DaemonConfig, machine: Machine) -> Iterator[Finding]:
    """Warn if `ramsterctl node` could not write here; the daemon runs without that."""
    way = machine.ways[daemon.cluster]
    if way[-1].type is not PlaceType.FILE:
        return
    path = way[-1].path
    found = why_not(machine.user, way[:-1], WRITE | ENTER)
    if path in machine.mount_points:
        found = f"{path}, a mount of one file, which can't be replaced"
    elif not way[-1].mode & ANY_WRITE:
        found = f"{path} (mode {way[-1].mode:04o}), a read-only file"
    if found is not None:
        expected = (
            f"a file that user {machine.user.name} can replace in its folder, or `ramsterctl node`"
            " changes no member at this node"
        )
        yield Finding(file=str(daemon.cluster), key="", found=found, expected=expected)


def _judge_state_dir(
    daemon: DaemonConfig, machine: Machine, file: str, *, is_start: bool
) -> Iterator[Finding]:
    """The daemon makes the folder itself, if only that is missing.

    A start finds out by doing so.
    """
    if is_start or daemon.state_dir is None:
        return
    user, way = machine.user, machine.ways[daemon.state_dir]
    if way[-1].type in {PlaceType.FILE, PlaceType.SOCKET, PlaceType.OTHER}:
        other = f"{way[-1].path}, which is no folder"
        expected = "a folder: move that file away, or name another folder"
        yield Finding(file=file, key="state_dir", found=other, expected=expected, is_error=True)
        return
    if _is_made(daemon.state_dir, machine):
        return
    found = why_not(user, way, READ | WRITE | ENTER)
    if way[-1].type is PlaceType.MISSING:
        is_all = way[-1].path == daemon.state_dir
        found = why_not(user, way[:-1], WRITE | ENTER) if is_all else f"no folder {way[-1].path}"
    if found is not None:
        expected = f"a folder that user {user.name} may write to: make it, as in `install -d -o {user.name} -m 700"
        expected += f" {daemon.state_dir}`"
        yield Finding(file=file, key="state_dir", found=found, expected=expected, is_error=True)


def _is_made(folder: Path, machine: Machine) -> bool:
    """Whether a unit of ramsterd makes a folder, or one above it, at each start."""
    return any(made in (folder, *folder.parents) for made in machine.made_folders)


def _judge_sockets(
    daemon: DaemonConfig, machine: Machine, file: str, *, is_start: bool
) -> Iterator[Finding]:
    keys: dict[Path, list[str]] = {}
    for key, path in socket_paths(daemon):
        keys.setdefault(path.parent, []).append(key)
        if machine.ways[path][-1].type in {PlaceType.FILE, PlaceType.FOLDER, PlaceType.OTHER}:
            found = f"{path}, which is no socket"
            yield Finding(
                file=file, key=key, found=found, expected="a path that is free", is_error=True
            )
    for folder, users in keys.items():
        finding = _judge_socket_folder(folder, machine, is_start=is_start)
        if finding is not None:
            yield replace(finding, file=file, key=", ".join(users))


def _judge_socket_folder(folder: Path, machine: Machine, *, is_start: bool) -> Finding | None:
    way = machine.ways[folder]
    if not is_start and _is_made(folder, machine):
        return None
    if way[-1].type is PlaceType.MISSING:
        expected = (
            "a folder when the daemon starts (RuntimeDirectory= of its unit makes one in /run)"
        )
        return Finding(
            file="", key="", found=f"no folder {folder}", expected=expected, is_error=is_start
        )
    reason = why_not(machine.user, way, WRITE | ENTER)
    if reason is None:
        return None
    expected = f"a folder in which user {machine.user.name} can make a socket"
    return Finding(file="", key="", found=reason, expected=expected, is_error=True)


def addresses_to_bind(daemon: DaemonConfig, node: NodeConfig) -> list[tuple[str, str, int]]:
    """Return key, address and port of each place in the network where a daemon listens."""
    bound = [("address", node.address, node.port)]
    for key, listen in (
        ("nbd.listen", daemon.nbd.listen),
        ("metrics.listen", daemon.metrics.listen),
    ):
        if listen:
            bound.append((key, *split_endpoint(listen)))
    return bound


def _judge_addresses(
    daemon: DaemonConfig, node: NodeConfig, machine: Machine, file: str, at: str
) -> Iterator[Finding]:
    user = machine.user
    (of_links, *of_endpoints) = addresses_to_bind(daemon, node)
    places = [(str(daemon.cluster), f"{at}.address", f"{at}.port", *of_links[1:])]
    places += [(file, key, key, address, port) for key, address, port in of_endpoints]
    for where, key, port_key, address, port in places:
        if address in machine.unbindable:
            found = f"{show(address)} ({machine.unbindable[address]})"
            expected = "an address of an interface of this machine"
            yield Finding(file=where, key=key, found=found, expected=expected, is_error=True)
        yield from _judge_name(address, machine, where, key)
        if port < machine.unprivileged_port and user.uid != ROOT:
            # No error: a capability may allow it, which no file shows.
            expected = (
                f"{machine.unprivileged_port} or more, or CAP_NET_BIND_SERVICE for user {user.name}"
            )
            yield Finding(file=where, key=port_key, found=f"port {port}", expected=expected)


def _judge_name(host: str, machine: Machine, file: str, key: str) -> Iterator[Finding]:
    """Yield what is wrong with a host name of ours here.  Another start may find a server that answers."""
    if host in machine.unknown_names:
        found = f"{show(host)} ({machine.unknown_names[host]})"
        expected = (
            f"a name that this machine can look up: `getent ahosts {host}` shows what it finds"
        )
        yield Finding(file=file, key=key, found=found, expected=expected)
    addresses = machine.addresses_of_names.get(host, ())
    if addresses and not is_loopback(parse_host(host)):
        if not all(parse_address(each).is_loopback for each in addresses):
            return
        found = f"{show(host)}, which is only {', '.join(addresses)} on this machine"
        expected = "a name of an address that other nodes can reach: correct /etc/hosts"
        yield Finding(file=file, key=key, found=found, expected=expected)


def suspicious_connection_limits(daemon: DaemonConfig, *, clients_max: int) -> list[str]:
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
