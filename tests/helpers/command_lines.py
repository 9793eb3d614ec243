"""Whether a line that somebody is told to type is one that the programs take."""

import shlex
from pathlib import Path
from typing import Final

import click

from ramsterd.cli import ramsterctl, ramsterd
from ramsterd.cli.target import Target

PROGRAMS: Final = {"ramsterctl": ramsterctl.main, "ramsterd": ramsterd.main}


def words(line: str) -> list[str]:
    """Return a line's words behind the program, without the socket."""
    _, *rest = shlex.split(line)
    return rest[2:] if rest[:1] == ["--socket"] else rest


def command_of(line: str) -> tuple[click.Command, list[str], list[str]]:
    """Return the command of a line, its names behind the program, and the words behind these."""
    command: click.Command = PROGRAMS[line.split(maxsplit=1)[0]]
    names: list[str] = []
    rest = [word for word in words(line) if word != "…"]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        assert found is not None, f"no command {rest[0]!r}: {line}"
        command, names, rest = found, [*names, rest[0]], rest[1:]
    return command, names, rest


def check_line(line: str, *, is_whole: bool) -> None:
    """Assert that the command exists and has these options; a whole line has all that is required."""
    command, _, rest = command_of(line)
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    used = {word for word in rest if word.startswith("--")}
    assert used <= known, f"{line}: {used - known}"
    if is_whole:
        command.make_context(
            "shown", rest, obj=Target(Path("control.sock"))
        )  # UsageError unless all that is required is there
