"""The commands that docs/operations.md shows are those that there are; what makes files is run as it stands."""

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ramsterd.cli import ramsterctl, ramsterd

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
LINES = re.findall(r"^    (ramster(?:ctl|d) .*)$", TEXT.replace("\\\n", " "), re.MULTILINE)
INLINE = re.findall(r"`(ramster(?:ctl|d) [a-z][^`]*)`", TEXT)


def words(line: str) -> list[str]:
    """Return a line's words; names of options in a text stand without their values."""
    return shlex.split(line)[1:]


@pytest.mark.parametrize("line", sorted({*LINES, *INLINE}))
def test_a_command_exists_and_takes_its_options(line: str) -> None:
    command: click.Command = ramsterctl.main if line.startswith("ramsterctl") else ramsterd.main
    rest = words(line)
    while isinstance(command, click.Group) and rest:
        found = command.commands.get(rest[0])
        assert found is not None, f"no command {rest[0]!r}: {line}"
        command, rest = found, rest[1:]
    known = {option for each in command.params for option in each.opts}
    used = {word for word in rest if word.startswith("--")}
    assert used <= known, f"{line}: {used - known}"
    if line in LINES:
        command.make_context("shown", rest)  # UsageError unless all that is required is there


def test_the_commands_that_make_files_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = [words(line) for line in LINES if words(line)[:1] == ["cluster"]]
    shown.sort(key=lambda line: line[1] != "init")
    assert [line[1] for line in shown] == ["init", "renew", "renew", "renew", "add-node"]
    for line in shown:
        result = CliRunner().invoke(ramsterctl.main, line)
        assert result.exit_code == 0, (line, result.output)
        if line[1] == "renew":
            shutil.rmtree("renewed")
    assert {path.name for path in (tmp_path / "rack7").iterdir()} == {"a", "b", "c", "ca", "delta"}
