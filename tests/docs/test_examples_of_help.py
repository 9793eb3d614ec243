"""`--help` of each command shows a line that can be typed, and a manual page has it, too."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from packages.manual.pages import pages
from ramsterd.cli.examples import EXAMPLES
from ramsterd.cli.ramsterctl import main
from tests.helpers.command_lines import check_line


def commands(command: click.Command, path: str) -> Iterator[str]:
    """Yield the commands that do something."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")


def test_every_command_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(commands(main, "ramsterctl"))


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_is_of_its_command_and_can_be_typed(path: str) -> None:
    line = EXAMPLES[path]
    assert path in line
    check_line(line.removeprefix('eval "$(').removesuffix(')"'), is_whole=True)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path != "ramsterctl demo"])
def test_help_shows_it(path: str) -> None:
    shown = CliRunner().invoke(main, [*path.split()[1:], "--help"], terminal_width=200).output
    assert f"Example: {EXAMPLES[path]}" in " ".join(shown.split())


def test_the_manual_page_has_all_of_them() -> None:
    page = pages("7.1.0", "2020-01-02")["ramsterctl.8"]
    assert page.count("Example: ") == len(EXAMPLES)
