"""Options of the program behind a command: one sentence says where they belong, and none ends pages."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ramsterd.asking.rights import RIGHTS, Right
from ramsterd.cli.misplaced import hint_for
from ramsterd.cli.ramsterctl import main
from ramsterd.cli.root import DESTRUCTIVE_OPTIONS

PASSED_BY_NONE = "is never passed on, because pages can end with it: type"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "export remove s2 --node n2",
            f"export remove takes no --node, and {PASSED_BY_NONE} `ramsterctl export remove s2` on the machine of node n2.",
        ),
        (
            "stop --node=n2",
            f"stop takes no --node, and {PASSED_BY_NONE} `ramsterctl stop` on the machine of node n2.",
        ),
        (
            "export reset --node",
            f"export reset takes no --node, and {PASSED_BY_NONE} `ramsterctl export reset` on the machine of node NAME.",
        ),
        (
            "stop --cluster",
            f"stop takes no --cluster, and {PASSED_BY_NONE} `ramsterctl stop` on the machine of each node.",
        ),
        (
            "doctor --node n2 --swap",
            "doctor takes no --node, and is never passed on: type `ramsterctl doctor --swap` on the machine of node n2.",
        ),
        (
            "node drain a --node b --deadline 2h",
            "--node belongs to ramsterctl itself: type `ramsterctl --node b node drain a --deadline 2h`.",
        ),
        (
            "node drain a --node --deadline 2h",
            "--node belongs to ramsterctl itself: type `ramsterctl --node NAME node drain a --deadline 2h`.",
        ),
        (
            "node drain a --cluster",
            "--cluster is for commands that show something: type `ramsterctl --node NAME node drain a`.",
        ),
        (
            "version --cluster",
            "--cluster belongs to ramsterctl itself: type `ramsterctl --cluster version`.",
        ),
        (
            "stop --socket /run/a.sock",
            "--socket belongs to ramsterctl itself: type `ramsterctl --socket /run/a.sock stop`.",
        ),
        (
            "--node a node cordon c --node b",
            "--node belongs to ramsterctl itself: type `ramsterctl --node b --node a node cordon c`.",
        ),
    ],
)
def test_an_option_of_the_program_behind_a_command_gets_one_sentence(line: str, hint: str) -> None:
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 2
    assert f"Error: {hint}\n" in result.output


def leaves(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command that does something, with its words."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, *path, name)
    else:
        yield " ".join(path), command


COMMANDS = {path: command for path, command in leaves(main) if path != "demo"}


def options_of(command: click.Command) -> set[str]:
    return {option for each in command.params for option in each.opts}


@pytest.mark.parametrize("path", COMMANDS)
@pytest.mark.parametrize("option", ["--node", "--cluster", "--socket", "--forc", "--forge"])
def test_no_command_proposes_an_option_that_ends_pages(path: str, option: str) -> None:
    if option in options_of(COMMANDS[path]):
        return
    result = CliRunner().invoke(main, [*path.split(), option, "n2"])
    assert result.exit_code == 2
    assert not [each for each in DESTRUCTIVE_OPTIONS if each in result.output]
    if option.startswith("--for"):
        assert f"No such option '{option}'." in result.output
    else:
        assert "type `ramsterctl" in result.output or "Did you mean" in result.output


def test_each_command_that_is_never_passed_on_is_known_by_its_words() -> None:
    names = {path.replace(" ", "-") for path in COMMANDS}
    assert {name for name, right in RIGHTS.items() if right is Right.MACHINE} <= names


def test_an_option_of_nobody_gets_no_hint() -> None:
    assert hint_for("--jso", "status", ["status", "--jso"]) == ""


def test_a_command_with_an_option_like_it_proposes_that() -> None:
    result = CliRunner().invoke(main, ["cluster", "init", "--node", "a=192.0.2.1"])
    assert "'--nodes'" in result.output
