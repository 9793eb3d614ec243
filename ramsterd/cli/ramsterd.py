"""The command line of the daemon: `ramsterd run` and `ramsterd check-config`."""

import logging
import os
import time
from pathlib import Path
from typing import NoReturn

import click

from config.endpoint import join_endpoint
from config.errors import ConfigError
from config.facts import User
from config.host import find_user, own_user, owner_of
from config.load import load_node
from config.machine import judge_lock, suspicious_connection_limits
from config.memory import tightest
from config.model import DaemonConfig, KeepMemory, LockMemory
from config.shares import describe_size
from config.units import format_bytes, human_bytes
from net.certificates import Credentials
from ramsterd import __version__
from ramsterd.cli.importing import importing
from ramsterd.cli.options import CONFIG_OPTION
from ramsterd.cli.output import EX_CONFIG, fail
from ramsterd.cli.start_line import start_line
from ramsterd.compiled import describe
from ramsterd.endpoints.descriptors import raise_limit
from ramsterd.handover.arrival import Arrival
from ramsterd.handover.early import listen_early
from ramsterd.host.daemon_protection import protection_of
from ramsterd.host.fd_store import DescriptorStore, descriptors_from
from ramsterd.host.logs.setup import set_up_logging
from ramsterd.host.loop_clock import monotonic_nanoseconds
from ramsterd.host.protection import give_up_protection
from ramsterd.host.threads import ThreadRefused
from ramsterd.host.validity import format_validity
from ramsterd.kept.super_page import MemoryRefused, Owner, check_layout, check_owner
from ramsterd.reconfigure.examine import Examined, examine
from ramsterd.restart.giving import give_up_stored
from ramsterd.statefile.folder import StateFolderTaken
from ramsterd.statefile.keeper import StateKeeper
from ramsterd.statefile.start import open_state, rewrite_state

logger = logging.getLogger("ramster.daemon")


@click.group()
@click.version_option(
    __version__,
    prog_name="ramsterd",
    message=f"%(prog)s, version %(version)s; inner loops: {describe().replace('%', '%%')}",
)
def main() -> None:
    """Pool the idle memory of a cluster.

    One ramsterd runs on every node.  It compresses pages and keeps them in the memory of its node.
    When this memory is full, it sends pages to peers that have room.
    """


@main.command()
@CONFIG_OPTION
@click.option(
    "--discard-memory",
    is_flag=True,
    help="Give up the pages that were kept for this node, and start without any.",
)
def run(config: Path, *, discard_memory: bool) -> None:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C.

    Pages that were kept since the last run ([memory] keep) are there again.
    """
    examined = _examine(config, user=own_user(), is_start=True)
    protection = protection_of(examined.daemon, examined.machine.lock_limit_bytes)
    protection.begin()
    try:
        log = set_up_logging(examined.daemon.log)
    except ThreadRefused as error:
        _fail(f"can't write the log: {error}", 1)
    started = start_line(__version__, describe(), examined.daemon, examined.cluster, examined.node)
    logger.info("%s", started)
    state = _open_state(examined.daemon, config)
    descriptors = raise_limit()
    arrival, store = Arrival(descriptors_from(os.environ)), DescriptorStore(os.environ)
    give_up_stored(arrival, store)
    listen_early(examined.daemon, arrival)
    # A start that fails leaves no socket behind.
    click.get_current_context().call_on_close(
        lambda: arrival.finish(now_nanoseconds=monotonic_nanoseconds())
    )
    logger.debug(
        "%d file descriptors, %d of them reserved for links and control",
        descriptors.limit, descriptors.reserved,
    )  # fmt: skip
    for warning in examined.warnings:
        logger.warning("%s", warning)
    for warning in suspicious_connection_limits(
        examined.daemon, clients_max=descriptors.clients_max
    ):
        logger.warning("%s: %s", config, warning)
    with importing():
        from ramsterd.cli.serving import serve  # noqa: PLC0415  it takes longer than all before it

    serve(
        examined,
        config,
        log=log,
        state=state,
        descriptors=descriptors,
        arrival=arrival,
        store=store,
        protection=protection,
        discard_memory=discard_memory,
    )


@main.command("reset-state")
@CONFIG_OPTION
def reset_state(config: Path) -> None:
    """Replace a damaged state file by a new one, in which every export of ramsterd.toml is lost.

    Stop the daemon first.  The damaged file is kept under another name.  It does not show which
    exports had pages, so all of them refuse clients: `ramsterctl export reset NAME` opens an export
    whose pages are not needed any more.  Pools of the tmem socket are forgotten: programs find them
    empty.
    """
    try:
        daemon, _, _ = load_node(config)
        names = [export.name for export in daemon.export]
        aside = rewrite_state(daemon.state_dir, names, file=str(config), lost_at=_wall_seconds())
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    except StateFolderTaken as error:
        _fail(f"{error}; stop it first", 1)
    if aside is not None:
        click.echo(f"the damaged file is kept as {aside}")
    click.echo(
        f"lost: {', '.join(names) or 'no export'}; start ramsterd, then run `ramsterctl exports`"
    )


@main.command("check-config")
@CONFIG_OPTION
@click.option(
    "--user",
    "user_name",
    help="Check the permissions of files for this user (name or id); by default for the owner of the folder.",
)
@click.option(
    "--layout",
    help="Check that this program can go on with the pages of a running daemon: `memory.layout` of its `ramsterctl"
    " status -o json`.  `ramsterctl restart` does so.",
)
@click.option(
    "--keeper",
    help="Check that the next program finds the pages of a running daemon: `memory.keeper` of its `ramsterctl status"
    " -o json`.  `ramsterctl restart` does so.",
)
@click.option(
    "--owner",
    type=(str, int, str),
    metavar="CLUSTER NUMBER NODE",
    help="Check that the next program is the node to which the pages of a running daemon belong: `cluster`, `number`"
    " and `node` of its `ramsterctl status -o json`.  `ramsterctl restart` does so.",
)
@click.option(
    "--holds",
    type=(str, str),
    metavar="KEY ADDRESS:PORT",
    multiple=True,
    help="Check that nobody but a running daemon, which holds this address, has one that the next program needs; for"
    " each of `address`, `nbd.listen` and `metrics.listen`.  `ramsterctl restart` does so.",
)
def check_config(
    config: Path,
    user_name: str | None,
    layout: str | None,
    keeper: str | None,
    owner: tuple[str, int, str] | None,
    holds: tuple[tuple[str, str], ...],
) -> None:
    """Check whether the daemon could run with both files on this machine; exit status 78 if not.

    The check includes keys and certificates, folders, addresses and memory.  Run it on the machine
    of the daemon: it uses the memory of this machine and the cgroup limits of this command.
    """
    # What a start imports late, it must find: `ramsterctl restart` asks for nothing else.
    import ramsterd.cli.serving  # noqa: F401, PLC0415  see `run`

    give_up_protection()
    if layout is not None:
        _check_layout(layout)
    user = _user(user_name, config)
    examined = _examine(config, user=user, is_start=False)
    lock_limit = examined.machine.lock_limit_bytes
    if layout is not None:
        # The limits of the daemon, which runs this.
        _check_lock(examined.daemon, lock_limit, config)
    for warning in examined.warnings:
        file, _, text = warning.partition(": ")
        click.echo(f"{file}: warning: {text}", err=True)
    daemon, cluster, node = examined.daemon, examined.cluster, examined.node
    if keeper is not None:
        _check_keeper(config, daemon.memory.keep, keeper)
    if owner is not None:
        _check_owner(examined, owner)
    if holds:
        _check_addresses(examined, holds)
    exports = ", ".join(f"{each.name} ({format_bytes(each.size)})" for each in daemon.export)
    click.echo(
        f"{config}: node {node.name} ({node.number}) at {join_endpoint(node.address, node.port)}"
    )
    click.echo(f"{daemon.cluster}: cluster {cluster.name} of {len(cluster.node)} nodes")
    click.echo(f"links: {describe_links(examined.credentials)}")
    click.echo(f"budget {describe_size(daemon.memory.budget)}, exports: {exports or 'none'}")
    if memory := examined.machine.memory:
        bound = tightest(memory)
        click.echo(f"memory: {human_bytes(bound.limit_bytes)}, {bound.name}")
    click.echo(f"locked memory: {describe_lock(examined.daemon, lock_limit)}")
    click.echo(f"user {user.name} can read these files")


def _examine(config: Path, *, user: User, is_start: bool) -> Examined:
    try:
        return examine(config, user=user, is_start=is_start)
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)


def _check_layout(name: str) -> None:
    try:
        check_layout(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--layout") from None
    except MemoryRefused as error:
        _fail(f"this program can't go on with the pages of the running one: {error}", EX_CONFIG)


def _check_lock(daemon: DaemonConfig, limit_bytes: int | None, config: Path) -> None:
    for finding in judge_lock(daemon, limit_bytes, file=str(config), is_start=True):
        if finding.is_error:
            _fail(str(finding.error()), EX_CONFIG)


def _check_keeper(config: Path, keep: KeepMemory | Path, keeper: str) -> None:
    # Late, as all that clients who connect at a start need not wait for.
    from ramsterd.kept.keepers.choosing import check_same_keeper  # noqa: PLC0415
    from ramsterd.kept.keepers.keeper import KeeperRefused  # noqa: PLC0415

    try:
        check_same_keeper(keep, keeper)
    except KeeperRefused as error:
        _fail(f"{config}: memory.keep: {error}", EX_CONFIG)


def _check_owner(examined: Examined, owner: tuple[str, int, str]) -> None:
    from ramsterd.kept.keepers.choosing import OR_END_THEM  # noqa: PLC0415  see `_check_keeper`

    cluster, number, name = owner
    node = examined.node
    try:
        check_owner(
            Owner(cluster=cluster, node=number, node_name=name),
            Owner(cluster=examined.cluster.name, node=node.number, node_name=node.name),
        )
    except MemoryRefused as error:
        _fail(f"{examined.daemon.cluster}: {error}: set it as it was; {OR_END_THEM}", EX_CONFIG)


def _check_addresses(examined: Examined, holds: tuple[tuple[str, str], ...]) -> None:
    from ramsterd.endpoints.trying import why_taken  # noqa: PLC0415  see `_check_keeper`

    try:
        problem = why_taken(examined.daemon, examined.node, holds)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--holds") from None
    if problem is not None:
        _fail(problem, 1)


def _user(name: str | None, config: Path) -> User:
    if name is None:
        return owner_of(config.absolute().parent)
    try:
        return find_user(name)
    except KeyError:
        raise click.BadParameter(
            f"found {name!r}, expected the name or id of a user of this machine",
            param_hint="--user",
        ) from None


def describe_lock(daemon: DaemonConfig, limit_bytes: int | None) -> str:
    """Return whether a daemon that is started as this command is locks its memory."""
    if daemon.memory.lock is LockMemory.NO:
        return "none ([memory] lock)"
    if limit_bytes is None:
        return "all of the daemon"
    return f"none, because this command may lock {human_bytes(limit_bytes)} at most"


def describe_links(credentials: Credentials | None) -> str:
    """Return how links to other nodes are protected."""
    if credentials is None:
        return "plaintext"
    return f"TLS 1.3, the certificate {format_validity(credentials.expires_at, at=_wall_seconds())}"


def _open_state(daemon: DaemonConfig, config: Path) -> StateKeeper:
    try:
        return open_state(daemon.state_dir, file=str(config), started_at=_wall_seconds())
    except ConfigError as error:
        _fail(str(error), EX_CONFIG)
    except StateFolderTaken as error:
        _fail(f"{error}; stop it, or set a state_dir that no other daemon uses", 1)


def _wall_seconds() -> int:
    return time.time_ns() // 1_000_000_000


def _fail(message: str, status: int) -> NoReturn:
    fail(message, status, program="ramsterd")
