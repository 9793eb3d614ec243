"""The exit statuses are those of the code, wherever somebody reads them."""

from typing import Final

import click
import pytest
from click.testing import CliRunner

from packages.manual import roff
from packages.manual.pages import pages
from ramsterd.cli.ramsterctl import main
from ramsterd.cli.statuses import OF_COMMANDS, STATUSES
from tests.docs.pages import DOCS, rows, section

TABLES: Final = rows(section((DOCS / "commands.md").read_text(), "Exit statuses"))


def test_the_table_of_the_documents_is_that_of_the_code() -> None:
    assert [row for row in TABLES if len(row) == 2] == [
        [str(status), text] for status, text in STATUSES.items()
    ]
    assert [row for row in TABLES if len(row) == 3] == [
        [f"`{command}`", str(status), text]
        for command, special in OF_COMMANDS.items()
        for status, text in special.items()
    ]


@pytest.mark.parametrize("path", OF_COMMANDS)
def test_help_tells_what_is_special_of_a_command(path: str) -> None:
    command: click.Command = main
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    shown = " ".join(CliRunner().invoke(main, [*path.split()[1:], "--help"]).output.split())
    for status, text in OF_COMMANDS[path].items():
        assert f"{status} {text}" in shown


def test_the_manual_page_has_all_of_them() -> None:
    page = pages("7.1.0", "2020-01-02")["ramsterctl.8"]
    for status, text in STATUSES.items():
        assert roff.item([str(status)], f"{text[0].upper()}{text[1:]}.") in page
