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


def test_ctrl_c_ends_a_command_with_the_status_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def waiting() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(main.commands, "waiting", waiting)
    result = CliRunner().invoke(main, ["waiting"])
    assert (result.exit_code, result.output) == (130, "")


def test_a_command_line_that_is_wrong_ends_with_2() -> None:
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_without_a_daemon_a_command_ends_with_1_and_health_with_69(tmp_path: Path) -> None:
    socket = ["--socket", str(tmp_path / "none")]
    assert CliRunner().invoke(main, [*socket, "nodes"]).exit_code == 1
    assert CliRunner().invoke(main, [*socket, "health"]).exit_code == 69


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            ["--node", "beta", "doctor"],
            "doctor is about the machine where it is typed: type it on beta",
        ),
        (
            ["--cluster", "nbd", "list"],
            "nbd is about the machine where it is typed: type it on each node",
        ),
        (
            ["--cluster", "memory", "set", "--budget", "1GiB"],
            "--cluster is for commands that show something",
        ),
        (
            ["--cluster", "--node", "beta", "status"],
            "--node is one node, and --cluster every member",
        ),
    ],
)
def test_what_can_not_be_asked_elsewhere_is_refused(line: list[str], what: str) -> None:
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2
    assert what in " ".join(result.output.split())
