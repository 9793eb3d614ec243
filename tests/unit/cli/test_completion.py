"""Real shells read the script, and complete with the program itself."""

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from ramsterd.cli.completion import SHELLS, VARIABLE
from ramsterd.cli.ramsterctl import main
from tests.docs.pages import ROOT
from tests.helpers.requirements import require_tool

PROGRAM = f"""\
#!{sys.executable}
from ramsterd.cli.ramsterctl import main
main(prog_name="ramsterctl")
"""
# What stands behind all that was found for a line.
END = "END"
# Each completes the beginnings that it is given, as its user does with the key Tab, and prints what it finds.
ASK = {
    "bash": """\
eval "$(ramsterctl completion bash)"
for line; do
    COMPREPLY=() COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _ramsterctl_completion ramsterctl
    printf '%s\\n' "${COMPREPLY[@]}" END
done
""",
    # Its completion needs a line editor: here what that is told is printed.
    "zsh": """\
compdef() { :; }
compadd() { print -rl -- ${(P)${@[-1]}}; }
_describe() { print -rl -- ${(P)3}; }
eval "$(ramsterctl completion zsh)"
for line; do
    words=(${=line}) CURRENT=${#words}
    _ramsterctl_completion
    echo END
done
""",
    "fish": """\
ramsterctl completion fish | source
for line in $argv
    complete --do-complete "$line"
    echo END
end
""",
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a search path with the program."""
    program = tmp_path / "ramsterctl"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def ask(shell: str, lines: Sequence[str], path: str, home: Path) -> list[list[str]]:
    """Return, for each line, the words with which a shell would complete its end."""
    require_tool(shell)
    quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    behind = [] if shell == "fish" else ["shell"]
    done = subprocess.run(
        [shell, *quiet, "-c", ASK[shell], *behind, *lines],
        env={"PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    # zsh and fish show the help of a command behind it.
    printed = [word.partition("\t")[0].partition(":")[0] for word in done.stdout.splitlines()]
    assert printed.count(END) == len(lines)
    words = iter(printed)
    return [list(takewhile(lambda word: word != END, words)) for _ in lines]


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_and_options(shell: str, path: str, tmp_path: Path) -> None:
    lines = ("ramsterctl no", "ramsterctl node unc", "ramsterctl stop --for")
    commands, *others = ask(shell, lines, path, tmp_path)
    assert {"node", "nodes"} <= set(commands)
    assert others == [["uncordon"], ["--forget"]]


@pytest.mark.parametrize(
    ("words", "begun", "completed"),
    [
        (["health", "mute"], "node", ["NODE_DOWN"]),
        (["health", "unmute"], "CERT", ["CERT_EXPIRED", "CERT_EXPIRING"]),
        (["events", "--kind"], "node_do", ["node_down"]),
    ],
)
def test_codes_and_kinds_are_completed_as_they_are_written(
    words: list[str], begun: str, completed: list[str]
) -> None:
    found = ShellComplete(main, {}, "ramsterctl", VARIABLE).get_completions(words, begun)
    assert sorted(each.value for each in found) == completed


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_needs_no_daemon_and_starts_no_program(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, result.stderr) == (0, "")
    assert VARIABLE in result.stdout


def test_another_shell_is_refused_by_name() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"])
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
