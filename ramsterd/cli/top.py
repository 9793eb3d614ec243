"""The command `ramsterctl top`; `top_live` shows the screens, with a library that is an extra."""

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.output import fail
from ramsterd.cli.target import AT_NODE, Target


def top_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command()
    @click.option(
        "--once", is_flag=True, help="Print one screen and end; so it is without a terminal."
    )
    @AT_NODE
    @click.pass_obj
    def top(target: Target, once: bool) -> None:
        """Show a node and its cluster on a screen that stays fresh.

        Health with what to type, memory by kind of page, pages a second, nodes, and events of the last hour.
        Keys: q ends it; n, s, f, t, h sort the nodes by name, state, free memory, our pages there,
        their pages here.
        """
        try:
            from ramsterd.cli.top_live import show  # noqa: PLC0415  rich is an extra
        except ImportError:
            fail(
                "top needs the library rich: pip install 'ramster[top]'; or type: ramsterctl status"
            )
        show(target, ask(target, "overview"), is_once=once)

    return top
