"""The command line of the daemon: `ramsterd run` and `ramsterd check-config`."""

import logging
import os
import random
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import click
import trio

from config.errors import ConfigError
from config.load import load_node
from config.machine import doubts_of_descriptors, doubts_of_machine, memory_of_machine
from config.model import ClusterConfig, DaemonConfig
from config.rules import doubts
from config.units import format_bytes
from heartbeat.key import BadKeyFile
from net.certificates import Credentials, load_credentials
from nodemanager.incarnations import first_incarnation
from ramsterd import __version__
from ramsterd.core.codec import CodecMissing, compressor_of
from ramsterd.daemon import CannotServe, Daemon, leaves
from ramsterd.descriptors import raise_limit
from ramsterd.heartbeat_key import load_heartbeat_key
from ramsterd.logs import set_up_logging
from ramsterd.loop_clock import LoopClock
from ramsterd.start_line import start_line
from ramsterd.statefile.folder import StateFolderTaken
from ramsterd.statefile.keeper import StateKeeper
from ramsterd.statefile.start import check_state, open_state, rewrite_state

logger = logging.getLogger("ramster.daemon")

EX_CONFIG: Final = 78  # sysexits.h

CONFIG_OPTION = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/ramster/ramsterd.toml"),
    show_default=True,
    help="This node's file; it names the cluster file.",
)


@click.group()
@click.version_option(__version__, prog_name="ramsterd")
def main() -> None:
    """Pool the idle memory of a cluster.

    One ramsterd runs on every node.  It keeps pages that programs push out, compressed, and
    sends what overflows to peers that have room.
    """


@main.command()
@CONFIG_OPTION
def run(config: Path) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C."""
    try:
        daemon_config, cluster, node = load_node(config)
        check_codecs(daemon_config, file=str(config))
        credentials = load_own_credentials(daemon_config, config)
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    heartbeat_key = _read_key(daemon_config)
    try:
        log = set_up_logging(daemon_config.log)
    except RuntimeError as error:
        _fail(
            f"can't start the thread that writes the log: {error}; raise TasksMax= or `ulimit -u`",
            1,
        )
    logger.info("%s", start_line(__version__, daemon_config, cluster, node))
    state = _open_state(daemon_config, config)
    descriptors = raise_limit()
    logger.debug(
        "%d file descriptors, %d of them kept for links and control",
        descriptors.limit, descriptors.reserved,
    )  # fmt: skip
    for doubt in [
        *all_doubts(daemon_config, cluster),
        *doubts_of_descriptors(daemon_config, clients_max=descriptors.clients_max),
    ]:
        logger.warning("%s: %s", config, doubt)
    try:
        daemon = Daemon(
            daemon_config,
            cluster,
            node,
            incarnation=first_incarnation(
                clock_milliseconds=_wall_milliseconds(), last=state.last_incarnation
            ),
            clock_milliseconds=_wall_milliseconds,
            rng=random.Random(),  # noqa: S311  jitter and ties, no secrets
            environ=os.environ,
            log=log,
            credentials=credentials,
            reload_credentials=partial(load_own_credentials, daemon_config, config),
            heartbeat_key=heartbeat_key,
            load_heartbeat_key=partial(load_heartbeat_key, daemon_config),
            state=state,
            descriptors=descriptors,
        )
    except OSError as error:  # memory that can't be mapped
        _fail(str(error), 1)
    try:
        trio.run(daemon.run, clock=LoopClock())
    except BaseExceptionGroup as group:
        # Not `except*`: what it raises, such as SystemExit, comes out in a group again, with a traceback.
        errors = list(leaves(group))
        if not all(isinstance(error, CannotServe) for error in errors):
            raise
        _fail("; ".join(str(error) for error in errors), 1)


@main.command("reset-state")
@CONFIG_OPTION
def reset_state(config: Path) -> None:
    """Set a damaged state file aside, and write one that calls every export of the config lost.

    The daemon must not run.  Nobody knows which of them had pages: `ramsterctl export reset NAME` then opens those
    that may be blank.  Pools of the tmem socket are forgotten: programs find them empty.
    """
    try:
        daemon, _, _ = load_node(config)
        names = [export.name for export in daemon.export]
        aside = rewrite_state(daemon.state_dir, names, file=str(config), lost_at=_wall_seconds())
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    except StateFolderTaken as error:
        _fail(f"{error}: stop it first", 1)
    if aside is not None:
        click.echo(f"the old file is {aside}")
    click.echo(
        f"lost: {', '.join(names) or 'no export'}; start ramsterd, then `ramsterctl exports`"
    )


@main.command("check-config")
@CONFIG_OPTION
def check_config(config: Path) -> None:
    """Read both files and say whether they are right; exit status 78 if not."""
    try:
        daemon, cluster, node = load_node(config)
        check_codecs(daemon, file=str(config))
        credentials = load_own_credentials(daemon, config)
        check_state(daemon.state_dir)
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    _read_key(daemon)
    for doubt in all_doubts(daemon, cluster):
        click.echo(f"{config}: warning: {doubt}", err=True)
    exports = ", ".join(f"{each.name} ({format_bytes(each.size)})" for each in daemon.export)
    click.echo(f"{config}: node {node.name} ({node.number}) at {node.address}:{node.port}")
    click.echo(f"{daemon.cluster}: cluster {cluster.name} of {len(cluster.node)} nodes")
    click.echo(f"links: {describe_links(credentials)}")
    click.echo(f"budget {format_bytes(daemon.memory.budget)}, exports: {exports or 'none'}")


def all_doubts(daemon: DaemonConfig, cluster: ClusterConfig) -> list[str]:
    """Return what is allowed and yet hardly meant, in general and on this machine."""
    return [
        *doubts(daemon, cluster),
        *doubts_of_machine(daemon, memory_bytes=memory_of_machine()),
    ]


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


def describe_links(credentials: Credentials | None) -> str:
    """Return how links to other nodes are protected."""
    if credentials is None:
        return "plaintext"
    end = datetime.fromtimestamp(credentials.expires_at, UTC)
    return f"TLS 1.3, the certificate is valid until {end:%Y-%m-%d}"


def _open_state(daemon: DaemonConfig, config: Path) -> StateKeeper:
    try:
        return open_state(daemon.state_dir, file=str(config), started_at=_wall_seconds())
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    except StateFolderTaken as error:
        _fail(str(error), 1)


def _wall_seconds() -> int:
    return time.time_ns() // 1_000_000_000


def _wall_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _read_key(daemon: DaemonConfig) -> bytes | None:
    try:
        return load_heartbeat_key(daemon)
    except BadKeyFile as error:
        _fail(str(error), EX_CONFIG)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"ramsterd: {message}", err=True)
    sys.exit(status)
