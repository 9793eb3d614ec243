"""The command `ramsterctl top`; `top_live` shows the screens, with a library that is an extra."""

from dataclasses import replace

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.output import fail
from ramsterd.cli.target import Target, at_nodes


def top_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command()
    @click.option(
        "--once", is_flag=True, help="Print one screen and end; so it is without a terminal."
    )
    @at_nodes
    @click.pass_obj
    def top(target: Target, once: bool) -> None:
        """Show a node and its cluster, or all members, on a screen that stays fresh.

        In a pipe, or with --once, one screen is printed, of which no line is cut unless there is a
        terminal or the variable COLUMNS.

        Health with what to type, memory by kind of page, pages a second, how long clients waited
        by what their requests needed, jobs, nodes, and events of the last hour.
        Keys: q ends it; n, s, f, t, h sort the nodes by name, state, free memory, our pages there,
        their pages here.

        With --cluster every member has a line of its own, as it says itself through the node at
        hand, and those that say nothing are named with why.  99 of 100 reads took no longer than
        P99 HERE if the member's own memory was enough, and no longer than P99 PEERS if they
        waited for a peer.
        Keys: h, n, f, r, w sort the members by health, name, free memory, reads, writes.
        """
        try:
            from ramsterd.cli import top_live  # noqa: PLC0415  rich is an extra
        except ImportError:
            fail(
                "top needs the library rich: pip install 'ramster[top]'; or type: ramsterctl status"
            )
        first = ask(replace(target, is_cluster=False), "overview")
        show = top_live.show_cluster if target.is_cluster else top_live.show_node
        show(target, first, is_once=once)

    return top
