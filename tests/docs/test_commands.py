"""The commands that the documents show are those that there are; tests/docs/test_commands_run.py runs them."""

import re

import click
import pytest

from config.differences import APPLIED
from tests.docs.lines import INLINE, SHOWN
from tests.docs.pages import DOCS, ROOT, quoted, rows, section
from tests.helpers.command_lines import PROGRAMS, check_line, words


@pytest.mark.parametrize("line", sorted({*SHOWN, *INLINE}))
def test_a_command_exists_and_takes_its_options(line: str) -> None:
    check_line(line, is_whole=line in SHOWN)


def test_every_command_is_in_the_documents() -> None:
    shown = {tuple(words(line)) for line in (*SHOWN, *INLINE)}

    def is_shown(path: tuple[str, ...]) -> bool:
        return any(line[: len(path)] == path for line in shown)

    def missing(command: click.Command, path: tuple[str, ...]) -> list[str]:
        if isinstance(command, click.Group):
            return [
                each
                for name, child in command.commands.items()
                for each in missing(child, (*path, name))
            ]
        return [] if is_shown(path) else [" ".join(path)]

    assert [each for program in PROGRAMS.values() for each in missing(program, ())] == []


def test_what_a_reload_applies_is_in_the_table_of_operations() -> None:
    heading = "Change the configuration of a running daemon"
    table = rows(section((DOCS / "operations.md").read_text(), heading))
    named = {key for _, keys in table for key in quoted(keys)}
    assert named == {key.rpartition(".")[2] for key in APPLIED}


def test_every_make_target_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = (ROOT / "README.md").read_text()
    assert [each for each in targets if each != "help" and f"make {each}" not in text] == []
