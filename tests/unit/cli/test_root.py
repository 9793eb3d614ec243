"""What all commands share: the socket is found, and what was typed once gets a hint."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ramsterd.cli.ramsterctl import main


@pytest.mark.parametrize(
    "line", [["status", "--json"], ["node", "drain", "beta", "--json"], ["--json", "nodes"]]
)
def test_the_old_json_option_gets_a_hint(line: list[str]) -> None:
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2
    assert "Error: No such option: --json. Type -o json behind the command.\n" in result.output


def test_another_unknown_option_gets_none() -> None:
    result = CliRunner().invoke(main, ["status", "--jso"])
    assert result.exit_code == 2
    assert "-o json" not in result.output


def asked_at(arguments: list[str], environ: dict[str, str | None]) -> str:
    return CliRunner().invoke(main, [*arguments, "nodes"], env=environ).output


def test_the_socket_is_that_of_the_option_or_of_the_variable_or_of_the_package(
    tmp_path: Path,
) -> None:
    option, variable = str(tmp_path / "option"), str(tmp_path / "variable")
    environ: dict[str, str | None] = {"RAMSTER_SOCKET": variable}
    assert f"no daemon answers at {option}:" in asked_at(["--socket", option], environ)
    assert f"no daemon answers at {variable}:" in asked_at([], environ)
    [socket] = [each for each in main.params if each.name == "socket_path"]
    assert isinstance(socket, click.Option)
    assert socket.default == Path("/run/ramster/control.sock")
