import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ramsterd.cli.ramsterctl import main


@contextmanager
def answering(path: Path, reply: bytes) -> Iterator[None]:
    """Serve one client with these bytes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(reply)

        server = threading.Thread(target=serve)
        server.start()
        yield
        server.join(5)


def ask(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--socket", str(path), "nodes", "-o", "json"])
    return result.exit_code, result.output


def test_result_is_printed(tmp_path: Path) -> None:
    with answering(tmp_path / "c", b'{"ok": true, "result": []}\n'):
        assert ask(tmp_path / "c") == (0, "[]\n")


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (b'{"ok": false, "error": "too late"}\n', "ramsterctl: too late\n"),
        (
            b"",
            "ramsterctl: the daemon at {path} closed the connection: look into its log, then repeat the command\n",
        ),
        (
            b"SSH-2.0\n",
            "ramsterctl: the program that answers at {path} is not ramsterd: name the [control] socket with --socket PATH\n",
        ),
        (
            b"[]\n",
            "ramsterctl: the program that answers at {path} is not ramsterd: name the [control] socket with --socket PATH\n",
        ),
        (
            b"{}\n",
            "ramsterctl: the program that answers at {path} is not ramsterd: name the [control] socket with --socket PATH\n",
        ),
        (
            b"\xff\n",
            "ramsterctl: the program that answers at {path} is not ramsterd: name the [control] socket with --socket PATH\n",
        ),
    ],
)
def test_no_result_is_one_line_and_status_1(tmp_path: Path, reply: bytes, line: str) -> None:
    path = tmp_path / "c"
    with answering(path, reply):
        assert ask(path) == (1, line.format(path=path))


def test_path_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    status, output = ask(tmp_path / ("x" * 200))
    assert status == 1
    assert output.count("\n") == 1
    assert "too long" in output


def helps(command: click.Command, *path: str) -> Iterator[str]:
    """Give the help of a command and of all below it."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from helps(each, *path, name)
    if path != ("demo",):  # it hands --help on
        yield CliRunner().invoke(main, [*path, "--help"]).output


def test_no_help_shows_marks_of_its_source() -> None:
    found = list(helps(main))
    assert len(found) > 10
    assert [each for each in found if "\\b" in each or "\b" in each] == []
    assert sum("ramsterctl node add --number 4 --name delta" in each for each in found) == 1
