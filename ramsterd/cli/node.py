"""`ramsterctl node`: the command line for members."""

import time
from typing import Final

import click

from config.endpoint import DEFAULT_PORT
from ramsterd.cli.ask import Ask
from ramsterd.cli.drain import drain_command
from ramsterd.cli.membership_file import finish
from ramsterd.cli.node_set import set_command
from ramsterd.cli.output import OUTPUT_OPTION, Output, warn
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.1


def node_group(ask: Ask) -> click.Group:
    """Return the group."""

    @click.group()
    def node() -> None:
        """Change the members of the cluster, from any member.

        Each change takes effect at once.  It is written into cluster.toml of this node (comments
        stay) and of all linked nodes; a node that is down gets the change when it is up again.
        """

    node.add_command(_add(ask))
    node.add_command(set_command(ask))
    node.add_command(_remove(ask))
    node.add_command(drain_command(ask))
    node.add_command(_cordon(ask, "cordon", CORDON_HELP))
    node.add_command(_cordon(ask, "uncordon", UNCORDON_HELP))
    return node


CORDON_HELP: Final = """Send no new pages to node NAME.

Pages that it holds stay there and are read as before.  `drain` makes them leave, too.
"""
UNCORDON_HELP: Final = "Send new pages to node NAME again: undo `cordon` or `drain`."


def _add(ask: Ask) -> click.Command:
    @click.command("add")
    @click.option(
        "--number", required=True, type=int, help="0 to 1023; a number that no node had before."
    )
    @click.option("--name", required=True, help="Its name in ramsterd.toml, logs and metrics.")
    @click.option("--address", required=True, help="Its IP address or host name.")
    @click.option(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        show_default=True,
        help="Of its link (TCP) and heartbeat (UDP).",
    )
    @click.option(
        "--zone",
        default="",
        help="Nodes that fail together, such as those of one rack, share a zone.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def add(target: Target, /, output: Output, **values: object) -> None:
        """Add a member.

        Then copy cluster.toml from any member to the new node, write its ramsterd.toml, and start
        ramsterd there.  The other members link to it and send it pages.
        """
        finish(ask, target, ask(target, "node-add", node=values), output)

    return add


def _cordon(ask: Ask, name: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("name")
    @OUTPUT_OPTION
    @click.pass_obj
    def cordon(target: Target, name: str, output: Output) -> None:
        finish(ask, target, ask(target, f"node-{command}", name=name), output)

    command = name
    return cordon


def _remove(ask: Ask) -> click.Command:
    @click.command("remove")
    @click.argument("name")
    @click.option("--force", is_flag=True, help="Remove the node although pages are lost.")
    @OUTPUT_OPTION
    @click.pass_obj
    def remove(target: Target, name: str, force: bool, output: Output) -> None:
        """Remove node NAME from the cluster.

        First the node is cordoned, and all linked nodes are asked about its pages.  If it holds the
        last copy of a page, or pages of its own are only at its peers, it stays a member
        (cordoned), and the answer names these pages: `drain` it first.  A
        removed node closes its links, and members refuse it.
        """
        while True:
            result = ask(target, "node-remove", name=name, force=force)
            if result["state"] != "asking":
                break
            time.sleep(POLL_SECONDS)
        warn(f"lost: {loss}" for loss in result["lost"])
        if result["not_asked"]:
            warn(
                [
                    f"not asked, because they have no link to this node: {', '.join(result['not_asked'])}"
                ]
            )
        warn(result["warnings"])
        finish(ask, target, result, output)

    return remove
