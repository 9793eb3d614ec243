import json
from pathlib import Path

from click.testing import CliRunner

from ramsterd import __version__
from ramsterd.cli.ramsterctl import main
from ramsterd.cli.target import Target
from ramsterd.cli.version import version_command
from ramsterd.host.build import BUILD
from tests.fakes.answering_cluster import AnsweringCluster

TARGET = Target(Path("socket"))
OTHER = {"node": "beta", "version": "0.0.9", "build": "2026-01-02 0123abc"}


def test_this_program_and_every_member_say_what_they_are() -> None:
    cluster = AnsweringCluster(
        alpha={"node": "alpha", "version": "0.1.0", "build": "b"}, beta=OTHER
    )
    result = CliRunner().invoke(version_command(cluster.ask, cluster.ask_each), obj=TARGET)
    assert result.exit_code == 0
    program, alpha, beta = result.output.splitlines()[1:]
    assert program.split() == ["ramsterctl", __version__, *BUILD.split()]
    assert alpha.split() == ["node", "alpha", "0.1.0", "b"]
    assert beta.split() == ["node", "beta", "0.0.9", "2026-01-02", "0123abc"]


def test_a_member_that_does_not_say_it_is_an_error_of_its_own() -> None:
    cluster = AnsweringCluster(alpha="no link", beta=OTHER)
    command = version_command(cluster.ask, cluster.ask_each)
    result = CliRunner().invoke(command, ["-o", "json"], obj=TARGET)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "program": {"version": __version__, "build": BUILD},
        "nodes": {
            "alpha": {"error": "no link"},
            "beta": {"version": "0.0.9", "build": "2026-01-02 0123abc"},
        },
    }


def test_what_this_program_is_it_says_without_a_daemon(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--socket", str(tmp_path / "none"), "version"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("ramsterctl  ")
    assert "no daemon answers" in result.stderr
