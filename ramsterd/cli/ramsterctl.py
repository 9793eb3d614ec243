"""The command line of the operator: `ramsterctl`, which asks a daemon over its control socket."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import click

from ramsterd import __version__
from ramsterd.cli.ask import ask, ask_each, ask_or_unavailable
from ramsterd.cli.bench import bench_command
from ramsterd.cli.cluster import cluster
from ramsterd.cli.completion import completion_command
from ramsterd.cli.config import config_group
from ramsterd.cli.doctor import doctor_command
from ramsterd.cli.events import events_command
from ramsterd.cli.examples import complete_help
from ramsterd.cli.export import export_group
from ramsterd.cli.format import format_status
from ramsterd.cli.gather import blocks_of, show_answers, table_of
from ramsterd.cli.health import health_group
from ramsterd.cli.jobs import job_group, jobs_command
from ramsterd.cli.log_level import log_level_command
from ramsterd.cli.memory import memory_group
from ramsterd.cli.misplaced import OF_THIS_MACHINE
from ramsterd.cli.nbd import nbd_group
from ramsterd.cli.node import node_group
from ramsterd.cli.output import OUTPUT_OPTION, Output
from ramsterd.cli.restart import restart_command
from ramsterd.cli.root import RootGroup
from ramsterd.cli.state import exports_command, format_lost, pool_group
from ramsterd.cli.stop import stop_command
from ramsterd.cli.tables import format_nodes, format_pools
from ramsterd.cli.target import CLUSTER_HELP, NODE_HELP, Target, at_nodes
from ramsterd.cli.top import top_command
from ramsterd.cli.verify import verify_command
from ramsterd.cli.version import version_command


@click.group(cls=RootGroup)
@click.version_option(__version__, prog_name="ramsterctl")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    envvar="RAMSTER_SOCKET",
    show_envvar=True,
    default=Path("/run/ramster/control.sock"),
    show_default=True,
    help="The daemon's control socket ([control] socket in ramsterd.toml).",
)
@click.option("--node", default="", metavar="NAME", help=NODE_HELP)
@click.option("--cluster", "is_cluster", is_flag=True, help=CLUSTER_HELP)
@click.pass_context
def main(context: click.Context, socket_path: Path, node: str, is_cluster: bool) -> None:
    """Show and change the state of a running ramsterd.

    Most commands take --node NAME, for another node, and those that show something --cluster, for
    every member: the daemon at hand passes them on.
    """
    if (node or is_cluster) and (name := context.invoked_subcommand) in OF_THIS_MACHINE:
        raise click.UsageError(
            f"{name} is about the machine where it is typed: type it on {node or 'each node'}"
        )
    context.obj = Target(socket_path, node, is_cluster)


@main.command()
@at_nodes
@OUTPUT_OPTION
@click.pass_obj
def status(target: Target, output: Output) -> None:
    """Show memory, pages and traffic of a node."""
    text_of = blocks_of(partial(format_status, at=time.time_ns() / 1e9))
    show_answers(ask, ask_each, target, output, "status", text_of)


@main.command()
@at_nodes
@OUTPUT_OPTION
@click.pass_obj
def nodes(target: Target, output: Output) -> None:
    """Show every member of the cluster, as a node sees it."""
    show_answers(ask, ask_each, target, output, "nodes", table_of(format_nodes, output))
    if not output.is_json and not target.is_cluster:
        now = ask(target, "status")
        for line in format_lost(now["state_file"]):
            click.echo(line)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Start three daemons on this machine and show how pages move (--from DIR: with your files)."""
    # The demo starts whole daemons, so it stands above this module: it takes over the process.
    # -P: a folder that happens to hold a file named as one of our packages must not replace it.
    command = [sys.executable, "-P", "-m", "ramsterd.demo", *arguments]
    os.execv(sys.executable, command)  # noqa: S606  our own interpreter, no shell


@main.command()
@at_nodes
@OUTPUT_OPTION
@click.pass_obj
def pools(target: Target, output: Output) -> None:
    """Show every pool that programs made at the tmem socket."""
    show_answers(ask, ask_each, target, output, "pools", table_of(format_pools, output))


main.add_command(bench_command(ask))
main.add_command(health_group(ask, ask_or_unavailable, ask_each))
main.add_command(memory_group(ask, ask_each))
main.add_command(verify_command(ask))
main.add_command(jobs_command(ask, ask_each))
main.add_command(job_group(ask))
main.add_command(node_group(ask))
main.add_command(exports_command(ask, ask_each))
main.add_command(export_group(ask))
main.add_command(pool_group(ask))
main.add_command(config_group(ask))
main.add_command(log_level_command(ask, ask_each))
main.add_command(events_command(ask, ask_each))
main.add_command(top_command(ask))
main.add_command(restart_command(ask))
main.add_command(stop_command(ask))
main.add_command(cluster)
main.add_command(completion_command)
main.add_command(nbd_group)
main.add_command(doctor_command)
main.add_command(version_command(ask, ask_each))
complete_help(main, "ramsterctl")
