"""`ramsterctl completion`: the script with which a shell completes commands.  It asks no daemon."""

from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

PROGRAM: Final = "ramsterctl"
# With this variable the script calls the program back; click names it so too.
VARIABLE: Final = "_RAMSTERCTL_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete `ramsterctl` commands.

    Type `eval "$(ramsterctl completion bash)"` in bash, the same with zsh in zsh, and
    `ramsterctl completion fish | source` in fish.  Write the line to the file that the shell reads
    at its start to keep it.  The Debian package needs none of that.
    """
    click.echo(script(context.find_root().command, shell))


def script(command: click.Command, shell: str) -> str:
    """Return the script for one of `SHELLS`."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    # Not the method of the shell's own class: that of bash starts a bash, only to ask for its version.
    return ShellComplete.source(kind(command, {}, PROGRAM, VARIABLE))
