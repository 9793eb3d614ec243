"""`ramsterctl cluster`: the command line that makes the files of nodes."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import click

from ramsterd.cli.output import fail, warn
from ramsterd.health.wording import named
from ramsterd.provision.node_folders import (
    CannotInit,
    NewNode,
    NodeSettings,
    add_node,
    init_cluster,
    parse_nodes,
    renew,
    shared_hosts,
)

F = TypeVar("F", bound=Callable[..., None])

PARTS_OF_A_PAIR: Final = 2
# What an operator types on a node, with the user and the unit that systemd/ has.
RELOAD: Final = "systemctl reload ramsterd"
START: Final = (
    "chown -R ramster: /etc/ramster",
    "ramsterd check-config",
    "systemctl enable --now ramsterd",
)
DAYS_OPTION = click.option(
    "--days", type=click.IntRange(1, 36_500), default=3650, show_default=True,
    help="Validity of the certificates; never longer than that of their CA.",
)  # fmt: skip
FROM_OPTION = click.option(
    "--from", "source", required=True, type=click.Path(path_type=Path),
    help="The folder that `init` wrote, or the `ca` folder in it.",
)  # fmt: skip
CLUSTER_OPTION = click.option(
    "--cluster", "cluster_file", type=click.Path(path_type=Path),
    help="cluster.toml of any member: needed if members changed since `init`.",
)  # fmt: skip


@click.group()
def cluster() -> None:
    """Make the files of nodes, without a daemon.

    Needs the package cryptography (the extra `tls`).  Existing files are never overwritten.
    """


def settings_options(command: F) -> F:
    """Give a command the options of a node's own file."""
    command = click.option(
        "--export", "exports", multiple=True, help="NAME=SIZE, a disk of the node."
    )(command)
    command = click.option(
        "--budget", default="1GiB", show_default=True, help="Memory of the node."
    )(command)
    return DAYS_OPTION(command)


def settings_of(days: int, budget: str, exports: tuple[str, ...]) -> NodeSettings:
    """Return the settings, or end with one line on what is wrong."""
    pairs = [export.split("=", 1) for export in exports]
    for export, pair in zip(exports, pairs, strict=True):
        if len(pair) != PARTS_OF_A_PAIR:
            fail(f"--export: found {export!r}, expected NAME=SIZE, such as swap0=16GiB")
    return NodeSettings(
        days=days, budget=budget, exports=tuple((name, size) for name, size in pairs)
    )


@cluster.command("init")
@click.option(
    "--nodes",
    required=True,
    multiple=True,
    help="NAME=HOST[:PORT] of each node, separated by commas; HOST is an IP address (IPv6 in brackets) or a host name."
    "  May be given several times.",
)
@click.option("--name", required=True, help="The name of the cluster.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@settings_options
def init_command(
    nodes: tuple[str, ...], name: str, out: Path, days: int, budget: str, exports: tuple[str, ...]
) -> None:
    """Write one folder for each node, with its files, certificates and keys, ready to copy.

    The key of the CA is in OUT/ca: keep it safe and off the nodes.
    """
    settings = settings_of(days, budget, exports)
    try:
        members = parse_nodes(",".join(nodes))
        init_cluster(name=name, nodes=members, out=out, settings=settings)
    except CannotInit as error:
        fail(str(error))
    warn(map(of_one_host, shared_hosts(members)))
    for member in members:
        click.echo(f"{out / member.name}: copy to /etc/ramster on {member.address}")
    say_then(START)
    click.echo(f"{out / 'ca'}: the key of the CA. Keep it off the nodes, best off line.")


def of_one_host(nodes: Sequence[NewNode]) -> str:
    """Return what an operator must do by hand for nodes of one host."""
    names = named([node.name for node in nodes])
    return (
        f"copies end together, and {nodes[1].name} does not start beside {nodes[0].name}: {names} are on one host."
        " Give each its own sockets and metrics port, and all of them one zone: docs/operations.md, Several nodes on"
        " one machine"
    )


@cluster.command("add-node")
@click.argument("node")
@FROM_OPTION
@click.option(
    "--number",
    type=int,
    help="0 to 1023, a number that no node had before; by default the next one.",
)
@click.option(
    "--zone", default="", help="Nodes that fail together, such as those of one rack, share a zone."
)
@CLUSTER_OPTION
@settings_options
def add_node_command(
    node: str, source: Path, number: int | None, zone: str, cluster_file: Path | None,
    days: int, budget: str, exports: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the folder of one more node: NAME=HOST[:PORT], an IP address or a host name.

    The folder is made beside those that `init` wrote; these stay as they are.  The node is not a
    member yet: run `ramsterctl node add` at any member, as the output says.
    """
    settings = settings_of(days, budget, exports)
    try:
        new, *more = parse_nodes(node, "NODE")
        if more:
            fail(f"NODE: found {1 + len(more)} nodes, expected one")
        made = add_node(
            source, new, number=number, zone=zone, cluster_file=cluster_file, settings=settings
        )
    except CannotInit as error:
        fail(str(error))
    folder = source.absolute().parent if source.name == "ca" else source
    where = f" --zone {made.zone}" if made.zone else ""
    click.echo(f"{folder / made.name}: copy to /etc/ramster on {made.address}")
    say_then(START)
    click.echo("then at any node of the cluster:")
    click.echo(
        f"    ramsterctl node add --number {made.number} --name {made.name}"
        f" --address {made.address} --port {made.port}{where}"
    )


@cluster.command("renew")
@click.argument("names", nargs=-1)
@FROM_OPTION
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@CLUSTER_OPTION
@click.option(
    "--new-ca", is_flag=True, help="Make a new CA. ca.pem then contains the old and the new one."
)
@DAYS_OPTION
def renew_command(
    names: tuple[str, ...], source: Path, out: Path, cluster_file: Path | None,
    new_ca: bool, days: int,
) -> None:  # fmt: skip
    """Write new certificates and keys of nodes, into one folder each.

    NAMES are the nodes; by default all members in the file of --cluster, or else in FROM.  FROM
    does not know which members were removed later.

    Copy node.pem and node.key to /etc/ramster on the node, give them to the user of the daemon, and
    reload the daemon, as the output says.
    """
    try:
        renewed = renew(source, out, names, days=days, cluster_file=cluster_file, is_new_ca=new_ca)
    except CannotInit as error:
        fail(str(error))
    if new_ca:
        click.echo("first copy ca.pem alone to all nodes, and on each:")
        say(["chown ramster: /etc/ramster/ca.pem", RELOAD])
        click.echo("after that:")
    for name in renewed:
        click.echo(f"{out / name}: copy node.pem and node.key to /etc/ramster on {name}")
    say_then(["chown ramster: /etc/ramster/node.pem /etc/ramster/node.key", RELOAD])
    if new_ca:
        click.echo(f"{out / 'ca'}: the key of the new CA. Keep it off the nodes, best off line.")


def say_then(commands: Iterable[str]) -> None:
    """Print what to type on a node after files were copied there."""
    click.echo("then on each of these nodes:")
    say(commands)


def say(commands: Iterable[str]) -> None:
    """Print commands as a person copies them."""
    for command in commands:
        click.echo(f"    {command}")
