"""Judge the files of a node, all that they name, and the machine: what `run`, `check-config` and a reload share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from config.facts import Machine, User
from config.host import own_user, survey
from config.load import load_daemon, load_node, locating
from config.machine import judge_machine
from config.model import ClusterConfig, DaemonConfig, NodeConfig
from config.rules import suspicious_settings
from heartbeat.key import BadKeyFile
from net.certificates import Credentials, load_credentials
from ramsterd.core.codec import CodecMissing, compressor_of
from ramsterd.frontends.tmem.users import allowed_users
from ramsterd.host.heartbeat_key import load_heartbeat_key
from ramsterd.host.lookups import find_now
from ramsterd.statefile.start import check_state

# A reload gives it the reserve; what comes before the first thread takes a start.
SWAP_BY_RESTART: Final = (
    "export.swap: this daemon is protected from a shortage of memory from its next start on: type"
    " `ramsterctl restart`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a daemon needs to start, and what its operator should know."""

    daemon: DaemonConfig
    cluster: ClusterConfig
    node: NodeConfig
    credentials: Credentials | None
    heartbeat_key: bytes | None
    machine: Machine
    # A line each, with the file.
    warnings: tuple[str, ...]


def examine(config: Path, *, user: User, is_start: bool) -> Examined:
    """Return everything that the files of a node say.  Blocks: it reads files.

    Args:
        config: The node's own file.
        user: As whom the daemon runs, or is to run.
        is_start: Whether it runs now or starts now; else what is missing may come yet.

    Raises:
        ConfigError: Something is wrong, for the first mistake.
    """
    with locating():
        return _examine(config, user=user, is_start=is_start)


def _examine(config: Path, *, user: User, is_start: bool) -> Examined:
    file = str(config)
    daemon, cluster, node = load_node(config)
    check_codecs(daemon, file=file)
    if not is_start:  # a start reads it when the folder is locked, and says the same
        check_state(daemon.state_dir)
    credentials, heartbeat_key = load_own_credentials(daemon, config), load_own_key(daemon, file)
    machine = survey(daemon, node, file=file, user=user, find=find_now)
    at = f"node[{cluster.node.index(node)}]"
    findings = judge_machine(daemon, node, machine, file=file, is_start=is_start, at=at)
    if findings and findings[0].is_error:
        raise findings[0].error()
    return Examined(
        daemon=daemon,
        cluster=cluster,
        node=node,
        credentials=credentials,
        heartbeat_key=heartbeat_key,
        machine=machine,
        warnings=(
            *(f"{file}: {warning}" for warning in suspicious_settings(daemon, cluster)),
            *(f"{finding.file}: {finding}" for finding in findings),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What the files of a running daemon say now; None: not there, or wrong."""

    daemon: DaemonConfig | None = None
    # The ids of [tmem] users: names are looked up where that may take its time.
    tmem_users: frozenset[int] = frozenset()
    credentials: Credentials | None = None
    heartbeat_key: bytes | None = None
    # A line for each file that is wrong, and stays as it was read.
    problems: tuple[str, ...] = ()
    # What the next start would end with or warn of; of these, what it would end with.
    warnings: tuple[str, ...] = ()
    faults: tuple[ConfigError, ...] = ()


def reread(config: Path, node: NodeConfig, running: DaemonConfig) -> Reread:
    """Read a node's own file, its certificate and its heartbeat key again, each for itself.  Blocks.

    A mistake in one keeps nobody from renewing another: a certificate ends on its day.

    Args:
        config: The node's own file.
        node: Its entry in the cluster file.
        running: What the daemon runs with; names the other files while its own one is wrong.
    """
    file = str(config)
    problems: list[str] = []
    own = Reread()
    try:
        own = judge_own(load_daemon(config), config, node, running)
    except ConfigError as error:
        problems.append(f"the old configuration stays in force: {error}")
    named = own.daemon or running
    credentials: Credentials | None = None
    key: bytes | None = None
    try:
        credentials = load_own_credentials(named, config)
    except ConfigError as error:
        problems.append(f"the old certificate stays in use: {error}")
    try:
        key = load_own_key(named, file)
    except ConfigError as error:
        problems.append(f"the old heartbeat key stays in use: {error}")
    return replace(own, credentials=credentials, heartbeat_key=key, problems=tuple(problems))


def judge_own(read: DaemonConfig, config: Path, node: NodeConfig, running: DaemonConfig) -> Reread:
    """Judge what a node's own file says beside a daemon that runs, and this machine.  Blocks.

    Raises:
        ConfigError: Something in it is wrong.
    """
    file = str(config)
    with locating():
        check_codecs(read, file=file)
    users = allowed_users(read.tmem.users)
    machine = survey(read, node, file=file, user=own_user(), find=find_now)
    at = f"node[{node.name}]"
    found = judge_machine(read, node, machine, file=file, is_start=True, at=at)
    warnings = [f"{each.file}: {each}" for each in found]
    if read.serves_swap and not running.serves_swap:
        warnings.append(f"{file}: {SWAP_BY_RESTART}")
    return Reread(
        daemon=read,
        tmem_users=users,
        warnings=tuple(warnings),
        faults=tuple(each.error() for each in found if each.is_error),
    )


def check_codecs(daemon: DaemonConfig, *, file: str) -> None:
    """Raise ConfigError for an export whose codec is not installed."""
    for i, export in enumerate(daemon.export):
        try:
            compressor_of(export.codec)
        except CodecMissing as error:
            raise ConfigError(
                file, f"export[{i}].codec", f"'{export.codec.value}'", f"'lz4' or 'none' ({error})"
            ) from None


def load_own_credentials(daemon: DaemonConfig, config: Path) -> Credentials | None:
    """Return what [tls] names, None without [tls].

    Raises:
        ConfigError: A file of it is wrong.
    """
    if daemon.tls is None:
        return None
    return load_credentials(daemon.tls, node=daemon.node, file=str(config))


def load_own_key(daemon: DaemonConfig, file: str) -> bytes | None:
    """Return what heartbeat_key names, None without it.

    Raises:
        ConfigError: The file is wrong.
    """
    try:
        return load_heartbeat_key(daemon)
    except BadKeyFile as error:
        found = str(error).removeprefix("heartbeat_key ")
        expected = "64 hexadecimal digits in a file that only its owner may read"
        raise ConfigError(file, "heartbeat_key", found, expected) from None
