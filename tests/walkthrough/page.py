"""The page as data: what is typed on which hosts, and what is printed there.  Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

from tests.docs.pages import TRANSCRIPT

HOSTS: Final = ("desk", "n1", "n2", "n3")
_FENCE: Final = re.compile(rf"^```{TRANSCRIPT}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME: Final = rf"(?:{'|'.join(HOSTS)})"
_PROMPT: Final = re.compile(rf"^({_NAME}(?:, {_NAME})*)# (.*)$")


class BadPage(Exception):
    """A block is not a transcript; the message quotes its line."""


@dataclass(frozen=True, slots=True)
class Typed:
    """One command, on one host or on several, and the lines that it prints on each of them."""

    hosts: tuple[str, ...]
    # As a shell reads it: a line goes on in the next one after a backslash, and within single quotes.
    command: str
    printed: tuple[str, ...] = ()

    def with_printed(self, printed: tuple[str, ...]) -> Self:
        return replace(self, printed=printed)

    def __str__(self) -> str:
        return "\n".join([f"{', '.join(self.hosts)}# {self.command}", *self.printed])


def parse(block: str) -> Iterator[Typed]:
    """Yield the commands of a block.

    Raises:
        BadPage: It begins with something else than a prompt.
    """
    hosts: tuple[str, ...] = ()
    command: list[str] = []
    printed: list[str] = []
    for line in block.splitlines():
        if command and _goes_on("\n".join(command)):
            command.append(line)
        elif match := _PROMPT.match(line):
            if command:
                yield Typed(hosts, "\n".join(command), tuple(printed))
            hosts, command, printed = tuple(match[1].split(", ")), [match[2]], []
        elif not command:
            raise BadPage(f"found {line!r}, expected a prompt, such as 'n1# '")
        else:
            printed.append(line)
    if command:
        yield Typed(hosts, "\n".join(command), tuple(printed))


def _goes_on(command: str) -> bool:
    """Return whether a shell waits for another line: after a backslash, or within single quotes."""
    return command.endswith("\\") or command.count("'") % 2 == 1


def commands(text: str) -> list[Typed]:
    """Return what is typed on a page, in its order."""
    return [typed for block in _FENCE.findall(text) for typed in parse(block)]


def with_commands(text: str, new: list[Typed]) -> str:
    """Return the page with other commands in the places of its own; there are as many."""
    following = iter(new)

    def write(match: re.Match[str]) -> str:
        lines = "\n".join(str(next(following)) for _ in parse(match[1]))
        return f"```{TRANSCRIPT}\n{lines}\n```"

    return _FENCE.sub(write, text)
