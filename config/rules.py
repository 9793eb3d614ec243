"""Rules between two keys.  What one key may hold is in `config.kinds`.

Each check raises ConfigError for the first rule that is broken, naming the later of the keys
concerned.
"""

import difflib
import posixpath
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Final

from config import limits
from config.endpoint import (
    IpAddress,
    is_loopback,
    join_endpoint,
    known_addresses,
    parse_address,
    parse_host,
    split_endpoint,
)
from config.errors import ConfigError
from config.limits import PAGE_BYTES, TABLE_BYTES_PER_PAGE
from config.model import (
    LOG_SUBSYSTEMS,
    ClusterConfig,
    DaemonConfig,
    Durability,
    ExportConfig,
    LogConfig,
    MemoryConfig,
    NodeConfig,
    RemoteConfig,
    TimersConfig,
    TmemConfig,
)
from config.reader import show
from config.units import format_bytes, human_bytes
from config.where import key_of

# Nodes may be larger than this one, pages shrink, and many are the same byte: a generous bound on
# what is meant.
SIZE_PER_BUDGET_MAX: Final = 64
# More names than this make a line that nobody reads.
NAMES_SHOWN_MAX: Final = 8
# The cluster of config/samples, which belongs to no machine.
SAMPLE_NAME: Final = "sample"


def check_cluster(cluster: ClusterConfig, *, file: str) -> None:
    """Raise ConfigError unless members are distinct and reachable, and the timers agree with each other."""
    if not cluster.node:
        raise ConfigError(file, "node", "no [[node]] table", "at least one")
    _check_timers(cluster.timers, file)
    _check_members(cluster.node, file)


def _check_members(nodes: tuple[NodeConfig, ...], file: str) -> None:
    names: dict[Hashable, int] = {}
    numbers: dict[Hashable, int] = {}
    places: dict[Hashable, int] = {}
    for i, node in enumerate(nodes):
        # Nodes are told apart by number: a place in the file looks like one.
        first = names.setdefault(node.name, i)
        if first != i:
            other = nodes[first].number
            found = f"{show(node.name)} for number {node.number}, which is the name of number {other} too"
            raise ConfigError(file, f"node[{i}].name", found, "a value used once")
        first = numbers.setdefault(node.number, i)
        if first != i:
            found = f"{node.number} for {node.name}, which is the number of {nodes[first].name} too"
            raise ConfigError(file, f"node[{i}].number", found, "a value used once")
        # Compared as hosts: ::1 and 0:0::1 are the same, and so are Alpha and alpha.
        first = places.setdefault((parse_host(node.address), node.port), i)
        if first != i:
            where = join_endpoint(node.address, node.port)
            found = (
                f"{where} for {node.name}, which is the address and port of {nodes[first].name} too"
            )
            raise ConfigError(file, f"node[{i}].port", found, "a pair that no other node has")


def check_plaintext(cluster: ClusterConfig, *, has_tls: bool, file: str) -> None:
    """Raise ConfigError if pages would be readable on a network without anyone's having said so."""
    if not has_tls:
        _check_loopback(cluster, "[tls]", file)


def check_heartbeat(cluster: ClusterConfig, *, has_key: bool, file: str) -> None:
    """Raise ConfigError if heartbeats that anyone can forge would cross a network without anyone's having said so.

    TLS is no help here: heartbeats are UDP.
    """
    if not has_key:
        _check_loopback(cluster, "heartbeat_key", file)


def _check_loopback(cluster: ClusterConfig, remedy: str, file: str) -> None:
    if cluster.insecure_plaintext:
        return
    for i, node in enumerate(cluster.node):
        if not is_loopback(parse_host(node.address)):
            expected = f"a loopback address, {remedy} in ramsterd.toml, or insecure_plaintext = true at the top of the file"
            raise ConfigError(file, f"node[{i}].address", show(node.address), expected)


def check_daemon(daemon: DaemonConfig, *, file: str) -> None:
    """Raise ConfigError unless memory, exports and endpoints fit together."""
    _check_memory(daemon.memory, file)
    _check_kept(daemon, file)
    _check_copies(daemon.remote, file)
    _check_exports(daemon.export, file)
    _check_endpoints(daemon, file)
    _check_tmem(daemon.tmem, file)
    _check_subsystems(daemon.log, file)


def _check_kept(daemon: DaemonConfig, file: str) -> None:
    """A folder keeps whatever was put into it, also while another run has its pages elsewhere."""
    keep = daemon.memory.keep
    if isinstance(keep, Path) and daemon.state_dir is None:
        expected = "a state_dir beside a folder: only its file tells the pages of the last run from older ones"
        raise ConfigError(file, "memory.keep", show(str(keep)), expected)


def suspicious_settings(daemon: DaemonConfig, cluster: ClusterConfig) -> list[str]:
    """Return suspicious settings, one line each: they are allowed, and probably a mistake."""
    found = _suspicious_copies(daemon, cluster)
    found += _suspicious_sizes(daemon, cluster)
    found += _suspicious_members(daemon, cluster)
    if daemon.export and daemon.nbd.socket is None and not daemon.nbd.listen:
        found.append(
            f"found {len(daemon.export)} [[export]] and no endpoint for clients, expected socket or listen in [nbd]"
        )
    if daemon.state_dir is None:
        found.append(
            'state_dir: found "", expected a folder: without it exports and pools read as blank after a restart,'
            " and a client that connects again takes zeros for its data"
        )
    if daemon.control.socket is None:
        found.append(
            "found no [control] socket: ramsterctl can't reach this daemon; set socket in [control]"
        )
    return found


def _suspicious_copies(daemon: DaemonConfig, cluster: ClusterConfig) -> list[str]:
    """Return where more copies are asked for, or needed, than there are peers to keep them.

    No error: members leave while the daemons run, and none could start again after that.
    """
    others = sum(node.name != daemon.node and not node.draining for node in cluster.node)
    fewest = daemon.remote.copies_min
    asked = [("remote.copies", daemon.remote.copies, fewest)]
    asked += [
        (
            f'export {i + 1} ("{export.name}"): copies',
            export.copies,
            export.copies if export.durability is Durability.REPLICATED else fewest,
        )
        for i, export in enumerate(daemon.export)
    ]
    return [
        f"{key}: found {copies}, expected at most {others}, for so many other nodes keep pages; "
        + (
            "writes that do not fit here are refused until there are more"
            if others < min(fewest, copies)
            else "pages leave for fewer, and are at risk, until there are more"
        )
        for key, copies, fewest in asked
        # One copy in a cluster of one node is what every such node has.
        if copies > max(others, 1)
    ]


def _suspicious_sizes(daemon: DaemonConfig, cluster: ClusterConfig) -> list[str]:
    """Return whether exports promise far more than memory can hold."""
    size = sum(export.size for export in daemon.export)
    budget, nodes = daemon.memory.budget, len(cluster.node)
    found = []
    if size > SIZE_PER_BUDGET_MAX * budget * nodes:
        found.append(
            f"export: found {human_bytes(size)} of exports, expected at most {SIZE_PER_BUDGET_MAX} times the memory of"
            f" {nodes} nodes with a budget of {human_bytes(budget)} each: what does not fit is refused when it is written"
        )
    tables_bytes = daemon.memory.tables_bytes(budget)
    tables_pages_bytes = tables_bytes // TABLE_BYTES_PER_PAGE * PAGE_BYTES
    if size > tables_pages_bytes:
        found.append(
            f"memory.tables_max: found {human_bytes(tables_bytes)}, enough for {human_bytes(tables_pages_bytes)} of pages,"
            f" expected enough for all exports ({human_bytes(size)}): what is beyond is refused when it is written"
        )
    pages_max_bytes = daemon.memory.pages_max * PAGE_BYTES
    if size > pages_max_bytes:
        found.append(
            f"memory.pages_max: found {daemon.memory.pages_max} pages ({human_bytes(pages_max_bytes)}), expected at"
            f" least those of all exports ({human_bytes(size)}): what is beyond is refused when it is written"
        )
    return found


def _suspicious_members(daemon: DaemonConfig, cluster: ClusterConfig) -> list[str]:
    """Return what the cluster file says that fits a trial better than a cluster."""
    if cluster.name == SAMPLE_NAME:
        told = f"{daemon.cluster} is the sample: found name {SAMPLE_NAME!r}, expected a name, nodes and"
        return [f"{told} addresses of your own (`ramsterctl cluster init` writes such files)"]
    on_loopback = [each for each in cluster.node if is_loopback(parse_host(each.address))]
    if not on_loopback or len(on_loopback) == len(cluster.node):
        return []
    names = ", ".join(each.name for each in on_loopback[:NAMES_SHOWN_MAX])
    told = f"{daemon.cluster}: found loopback addresses of {names}, expected none beside other addresses:"
    return [f"{told} nodes on other machines can't reach these"]


def check_link_ports(
    daemon: DaemonConfig, cluster: ClusterConfig, node: NodeConfig, *, file: str
) -> None:
    """Raise ConfigError if a TCP endpoint of ours is the one of links: ours, or those of a node on this machine.

    Of a host name the start finds out.
    """
    ours = parse_host(node.address)
    listens = (("nbd.listen", daemon.nbd.listen), ("metrics.listen", daemon.metrics.listen))
    for other in (node, *cluster.node):
        host = parse_host(other.address)
        for key, listen in listens if host == ours or is_loopback(host) else ():
            taken = [each for each in known_addresses(host) if _takes(listen, each, other.port)]
            if taken:
                found = f"{show(listen)}, which is address and port of node {other.name} in {daemon.cluster.name}"
                raise ConfigError(file, key, found, "an address and port used once")


def _check_timers(timers: TimersConfig, file: str) -> None:
    for shorter, longer in (
        ("keepalive_seconds", "idle_seconds"),
        ("probe_timeout_seconds", "probe_seconds"),
    ):
        found, bound = getattr(timers, shorter), getattr(timers, longer)
        if not found < bound:
            raise ConfigError(
                file, f"timers.{shorter}", show(found), f"less than {longer} ({bound})"
            )


def _check_memory(memory: MemoryConfig, file: str) -> None:
    if memory.high_watermark <= 0:
        raise ConfigError(file, "memory.high_watermark", show(memory.high_watermark), "more than 0")
    if not 0 < memory.low_watermark < memory.high_watermark:
        raise ConfigError(
            file,
            "memory.low_watermark",
            show(memory.low_watermark),
            f"more than 0 and less than high_watermark ({memory.high_watermark})",
        )
    if memory.budget_max and memory.budget_max < memory.budget:
        raise ConfigError(
            file,
            "memory.budget_max",
            format_bytes(memory.budget_max),
            f"0, or at least the budget ({format_bytes(memory.budget)})",
        )
    if memory.reserve > memory.budget // 2:
        raise ConfigError(
            file,
            "memory.reserve",
            format_bytes(memory.reserve),
            f"at most half of the budget ({format_bytes(memory.budget)})",
        )


def _check_copies(remote: RemoteConfig, file: str) -> None:
    copies = remote.copies or limits.COPIES_DEFAULT
    if remote.copies_min > copies:
        means = f"copies ({copies})" if remote.copies else f"{copies}, which copies = 0 means"
        raise ConfigError(file, "remote.copies_min", show(remote.copies_min), f"at most {means}")


def _check_exports(exports: tuple[ExportConfig, ...], file: str) -> None:
    _check_distinct(((f"export[{i}].name", each.name) for i, each in enumerate(exports)), file)


def _check_subsystems(log: LogConfig, file: str) -> None:
    for name in log.subsystems:
        if name not in LOG_SUBSYSTEMS:
            known = sorted(LOG_SUBSYSTEMS)
            near = difflib.get_close_matches(name, known, n=1)
            expected = f"one of {', '.join(known)}" + (
                f"; the nearest is {near[0]}" if near else ""
            )
            raise ConfigError(file, f"log.subsystems.{name}", "an unknown subsystem", expected)


def _check_tmem(tmem: TmemConfig, file: str) -> None:
    if tmem.pool_pages_max > tmem.user_pages_max:
        raise ConfigError(
            file,
            "tmem.user_pages_max",
            show(tmem.user_pages_max),
            f"at least pool_pages_max ({tmem.pool_pages_max})",
        )
    _check_distinct(((f"tmem.users[{i}]", user) for i, user in enumerate(tmem.users)), file)


def _check_endpoints(daemon: DaemonConfig, file: str) -> None:
    _check_distinct(
        ((key, _plain(path)) for key, path in socket_paths(daemon)),
        file,
    )
    _check_listens(daemon, file)


def _check_listens(daemon: DaemonConfig, file: str) -> None:
    """Raise ConfigError if both TCP endpoints have one port of one address.

    A wildcard is every address.
    """
    if not daemon.nbd.listen or not daemon.metrics.listen:
        return
    nbd, port = split_endpoint(daemon.nbd.listen)
    if _takes(daemon.metrics.listen, parse_address(nbd), port):
        found = (
            f"{show(daemon.metrics.listen)}, which nbd.listen uses too ({show(daemon.nbd.listen)})"
        )
        raise ConfigError(file, "metrics.listen", found, "an address and port used once")


def _takes(listen: str, address: IpAddress, port: int) -> bool:
    """Whether a listener takes a port of an address; a wildcard takes it at every address."""
    if not listen:
        return False
    where, its_port = split_endpoint(listen)
    its_address = parse_address(where)
    return its_port == port and (its_address == address or its_address.is_unspecified)


def socket_paths(daemon: DaemonConfig) -> list[tuple[str, Path]]:
    """Return the sockets that are to be made, with their keys."""
    paths = (
        ("nbd.socket", daemon.nbd.socket),
        ("tmem.socket", daemon.tmem.socket),
        ("control.socket", daemon.control.socket),
    )
    return [(key, path) for key, path in paths if path is not None]


def _plain(path: Path) -> str:
    # "a/../b" and "b" are the same file unless a link is in the way: better refused than bound
    # twice.
    return posixpath.normpath(path)


def _check_distinct(values: Iterable[tuple[str, Hashable]], file: str) -> None:
    """Raise ConfigError for the first value that an earlier key has too."""
    seen: dict[Hashable, str] = {}
    for key, value in values:
        first = seen.setdefault(value, key)
        if first != key:
            raise ConfigError(
                file, key, f"{show(value)}, which is {key_of(first)} too", "a value used once"
            )
