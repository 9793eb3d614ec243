"""Options of the program itself that stand behind a command: where they belong.  Pure."""

import shlex
from collections.abc import Sequence
from typing import Final

from ramsterd.asking.rights import RIGHTS, Right

# What these do, they do on this machine: nobody else can be asked for it.
OF_THIS_MACHINE: Final = ("bench", "cluster", "completion", "demo", "doctor", "nbd")
# What stands for the value of each, where none was typed; empty: it takes none.
_OPTIONS: Final = {"--node": "NAME", "--cluster": "", "--socket": "PATH"}


def hint_for(option: str, command: str, words: Sequence[str]) -> str:
    """Return one sentence that says where an option belongs; empty: it is none of the program.

    Args:
        option: As in "--node", which the command does not have.
        command: As in "export remove".
        words: The whole command line, behind the name of the program.
    """
    if option not in _OPTIONS:
        return ""
    value, rest = _without(option, words)
    typed = f"`ramsterctl {shlex.join(rest)}`"
    if option != "--socket":
        node = f"the machine of node {value}" if option == "--node" else "the machine of each node"
        if command.split(maxsplit=1)[0] in OF_THIS_MACHINE:
            return f"{command} takes no {option}, and is never passed on: type {typed} on {node}."
        right = RIGHTS.get(command.replace(" ", "-"))
        if right is Right.MACHINE:
            return (
                f"{command} takes no {option}, and is never passed on, because pages can end with it:"
                f" type {typed} on {node}."
            )
        if option == "--cluster" and right is Right.TLS:
            option, value = "--node", _OPTIONS["--node"]
            moved = shlex.join([option, value, *rest])
            return f"--cluster is for commands that show something: type `ramsterctl {moved}`."
    moved = shlex.join([option, *([value] if value else []), *rest])
    return f"{option} belongs to ramsterctl itself: type `ramsterctl {moved}`."


def _without(option: str, words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the value of an option where it stands last, and the line without both."""
    default, rest = _OPTIONS[option], list(words)
    places = [i for i, word in enumerate(rest) if word.partition("=")[0] == option]
    place = places[-1]
    _, equals, value = rest.pop(place).partition("=")
    if equals or not default:
        return value if default else "", rest
    if place == len(rest) or rest[place].startswith("-"):
        return default, rest
    return rest.pop(place), rest
