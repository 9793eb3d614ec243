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

HEALTH_STATUSES: Final = {"OK": 0, "WARN": 1, "ERR": 2}
_HEALTH: Final = re.compile(r"ramsterctl health\b")
_DOCTOR: Final = re.compile(r"ramsterctl doctor\b")
_CHECKS: Final = re.compile(r"^\S+ checks: (\d+) errors?, (\d+) warnings?, \S+ ok$", re.MULTILINE)


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

    @property
    def status(self) -> int:
        """The exit status that goes with what is printed, as docs/commands.md has it.

        Raises:
            BadPage: The command says with its status what it found, and the page does not show that.
        """
        if _HEALTH.search(self.command):
            found = self.printed[0].split()[0] if self.printed else ""
            if found in HEALTH_STATUSES:
                return HEALTH_STATUSES[found]
        elif _DOCTOR.search(self.command):
            if match := _CHECKS.search("\n".join(self.printed)):
                errors, warnings = map(int, match.groups())
                return 2 if errors else int(warnings > 0)
        else:
            return 0
        raise BadPage(f"what is printed of {self.command!r} does not say with which status it ends")

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
