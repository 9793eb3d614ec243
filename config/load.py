"""Read the two files of a node and judge them, apart from the machine they are on."""

import difflib
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from config.errors import ConfigError
from config.host import read_memory
from config.limits import CONFIG_FILE_BYTES_MAX
from config.memory import MemoryBound, tightest
from config.model import ClusterConfig, DaemonConfig, NodeConfig
from config.reader import read_toml, show
from config.rules import (
    NAMES_SHOWN_MAX,
    check_cluster,
    check_daemon,
    check_heartbeat,
    check_link_ports,
    check_plaintext,
)
from config.where import locate

T = TypeVar("T")
# What is found where a file is to be.
NO_FILE: Final = "no such file"


def load_cluster(path: Path) -> ClusterConfig:
    """Return what `cluster.toml` says.

    Raises:
        ConfigError: The file can't be read, or something in it is wrong.
    """
    with locating():
        cluster = _load(path, ClusterConfig)
        check_cluster(cluster, file=str(path))
    return cluster


def load_daemon(path: Path) -> DaemonConfig:
    """Return what `ramsterd.toml` says.

    Relative paths in it start at its own folder and become absolute, percentages are of this
    machine's memory or of its cgroup's limit and become sizes.  The cluster file it names is not
    opened.

    Raises:
        ConfigError: The file can't be read, or something in it is wrong.
    """
    with locating():
        data = read_file(path)
    return parse_daemon(data, path)


def parse_daemon(data: bytes, path: Path) -> DaemonConfig:
    """Return what a text of `ramsterd.toml` says, as `load_daemon` does, whatever the file says now.

    Raises:
        ConfigError: Something in it is wrong.
    """
    bounds = read_memory()
    memory = tightest(bounds) if bounds else None
    with locating(data):
        daemon = _parse(data, path, DaemonConfig, memory)
        check_daemon(daemon, file=str(path))
        _check_users(daemon, file=str(path))
    return daemon


def load_node(path: Path) -> tuple[DaemonConfig, ClusterConfig, NodeConfig]:
    """Return this node's file, the cluster file it names, and this node's own entry in that.

    Raises:
        ConfigError: One of the files is wrong, or the cluster has no such node.
    """
    daemon = load_daemon(path)
    cluster = load_cluster(daemon.cluster)
    with locating():
        check_plaintext(cluster, has_tls=daemon.tls is not None, file=str(daemon.cluster))
        check_heartbeat(cluster, has_key=daemon.heartbeat_key is not None, file=str(daemon.cluster))
    # Names are distinct: load_cluster saw to it.
    for node in cluster.node:
        if node.name == daemon.node:
            check_link_ports(daemon, cluster, node, file=str(path))
            return daemon, cluster, node
    if cluster.membership_version:
        raise ConfigError(str(path), "node", show(daemon.node), _membership(daemon, cluster))
    names = [node.name for node in cluster.node]
    near = difflib.get_close_matches(daemon.node, names, n=NAMES_SHOWN_MAX) or names
    shown = ", ".join(near[:NAMES_SHOWN_MAX]) + (", …" if len(near) > NAMES_SHOWN_MAX else "")
    expected = f"the name of a [[node]] in {daemon.cluster}, such as {shown}"
    raise ConfigError(str(path), "node", show(daemon.node), expected)


def _membership(daemon: DaemonConfig, cluster: ClusterConfig) -> str:
    """Return what to say to a node that is no member, where members have come and gone: it may have been one.

    Other names than those that it may be a typing mistake of would only tempt somebody to start a
    node as another one.
    """
    near = difflib.get_close_matches(daemon.node, [node.name for node in cluster.node])
    mistake = f" If it is a typing mistake of {' or '.join(near)}, correct it." if near else ""
    origins = [node.name for node in cluster.node if node.number == cluster.membership_origin]
    origin = origins[0] if origins else f"number {cluster.membership_origin}"
    # Each membership is written at once, by all who hear of it.
    written = datetime.fromtimestamp(daemon.cluster.stat().st_mtime, UTC)
    return (
        f"the name of a member. Cluster {cluster.name} has no {daemon.node} (any more) since membership version"
        f" {cluster.membership_version} or earlier, made at node {origin} and written to {daemon.cluster} at"
        f" {written:%Y-%m-%d %H:%M} UTC.{mistake} To bring a removed node back, empty: `ramsterctl node add --name"
        f" {daemon.node} --number N …` at a member, with a number that no node had before, then copy its"
        " cluster.toml here"
    )


def _check_users(daemon: DaemonConfig, *, file: str) -> None:
    """Raise ConfigError for a user name that this machine does not know."""
    for i, user in enumerate(daemon.tmem.users):
        try:
            if isinstance(user, str):
                pwd.getpwnam(user)
        except KeyError:
            expected = "the name of a user of this machine, or an id"
            raise ConfigError(file, f"tmem.users[{i}]", show(user), expected) from None


@contextmanager
def locating(data: bytes | None = None) -> Iterator[None]:
    """Say in an error where in its file, or in this text of it, the key stands, as far as that can be known."""
    try:
        yield
    except ConfigError as error:
        with suppress(ConfigError, UnicodeDecodeError):
            if error.key and not error.where:
                text = (read_file(Path(error.file)) if data is None else data).decode()
                error.where = locate(error.key, text)
        raise


def _load(path: Path, model: type[T]) -> T:
    return _parse(read_file(path), path, model)


def _parse(data: bytes, path: Path, model: type[T], memory: MemoryBound | None = None) -> T:
    folder = path.absolute().parent
    return read_toml(data, model, file=str(path), folder=folder, memory=memory)


def read_file(path: Path) -> bytes:
    """Return the bytes of a configuration file.

    Raises:
        ConfigError: It can't be read, or is too large to be one.
    """
    file = str(path)
    try:
        # Opening a pipe or a device would wait, or give no end.
        if path.exists() and not path.is_file():
            raise ConfigError(file, "", "something that is not a regular file", "a TOML file")
        with path.open("rb") as stream:
            data = stream.read(CONFIG_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(file, "", NO_FILE, "a readable TOML file") from None
    except OSError as error:
        found = (error.strerror or type(error).__name__).lower()
        raise ConfigError(file, "", found, "a readable TOML file") from None
    except ValueError:  # a NUL in the path
        raise ConfigError(repr(file), "", "a path with a NUL", "a readable TOML file") from None
    if len(data) > CONFIG_FILE_BYTES_MAX:
        raise ConfigError(
            file, "", "a larger file", f"at most {CONFIG_FILE_BYTES_MAX} bytes of TOML"
        )
    return data
