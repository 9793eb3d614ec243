"""Whom a command asks: the daemon at a socket, or other nodes through it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., None])
NODE_HELP: Final = "Ask that node instead, through the one at hand."
CLUSTER_HELP: Final = "Ask every member, through the node at hand."


@dataclass(frozen=True, slots=True)
class Target:
    """The socket of the daemon at hand, and whom it asks: itself, another node, or every member."""

    socket: Path
    node: str = ""
    is_cluster: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.node and self.is_cluster:
            raise click.UsageError(
                "--node is one node, and --cluster every member: type one of them"
            )


def _set_node(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value:
        context.obj = replace(context.obj, node=value)


def _set_cluster(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.obj = replace(context.obj, is_cluster=True)


# Of a command that one node carries out.
AT_NODE: Final = click.option(
    "--node", metavar="NAME", expose_value=False, callback=_set_node, help=NODE_HELP
)
_CLUSTER_OPTION: Final = click.option(
    "--cluster", is_flag=True, expose_value=False, callback=_set_cluster, help=CLUSTER_HELP
)


def at_nodes(command: F) -> F:
    """Give a command that shows something the options `--node` and `--cluster`."""
    return AT_NODE(_CLUSTER_OPTION(command))
