"""docs/schema is made from the code, has every command that prints JSON, and only grows."""

import copy
from collections.abc import Iterator
from typing import Any, Final

import click
import jsonschema
import pytest

from packages.schema.__main__ import texts
from packages.schema.commands import BY_NODE, OF_COMMANDS, documents
from packages.schema.promises import PROMISES, promised, read_promises
from ramsterd.cli.output import Output
from ramsterd.cli.ramsterctl import main
from tests.docs.pages import DOCS
from tests.helpers.schemas import FOLDER, load

MADE_BY: Final = "stale; type: python -m packages.schema"


def commands_with_json(command: click.Command, path: str) -> Iterator[str]:
    """Yield the commands that have `-o json`."""
    for each in command.params:
        if isinstance(each.type, click.Choice) and Output.JSON.value in each.type.choices:
            yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands_with_json(child, f"{path} {name}".strip())


def test_every_command_that_prints_json_has_a_schema() -> None:
    assert sorted(commands_with_json(main, "")) == sorted(OF_COMMANDS)


def test_every_command_for_all_members_is_in_the_schema_of_a_cluster() -> None:
    found = {
        path
        for path in commands_with_json(main, "")
        if any("--cluster" in each.opts for each in _command(path).params)
    }
    # Of health it is a list of nodes in any case, and of events a line each.
    assert found == {*BY_NODE, "events", "health"}


def _command(path: str) -> click.Command:
    command: click.Command = main
    for name in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


def test_the_files_are_made_from_the_code() -> None:
    written = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert written == texts(), MADE_BY


@pytest.mark.parametrize("name", sorted(texts()))
def test_each_file_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(load(name.removesuffix(".json")))


def test_no_key_that_was_promised_is_gone() -> None:
    gone = read_promises(FOLDER / PROMISES) - promised(documents())
    assert not gone, "programs rely on these keys"


def test_every_key_is_promised() -> None:
    assert promised(documents()) == read_promises(FOLDER / PROMISES), MADE_BY


def test_a_key_that_goes_would_be_found() -> None:
    fewer: dict[str, Any] = copy.deepcopy(documents())
    engine = fewer["status.json"]["properties"]["engine"]
    engine["properties"]["store"]["required"].remove("lost_pages_total")
    assert read_promises(FOLDER / PROMISES) - promised(fewer) == {
        "status.json engine.store.lost_pages_total"
    }


def test_the_page_of_the_commands_names_the_folder() -> None:
    assert "`docs/schema`" in (DOCS / "commands.md").read_text()
