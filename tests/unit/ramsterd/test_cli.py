from pathlib import Path

from click.testing import CliRunner, Result

from ramsterd.cli import main
from ramsterd.daemon import CannotServe, leaves
from ramsterd.statefile.folder import StateFolder
from tests.config_texts import CLUSTER, DAEMON, write


def check_config(folder: Path, more: str) -> Result:
    write(folder, "cluster.toml", CLUSTER)
    path = write(folder, "ramsterd.toml", DAEMON + more)
    return CliRunner().invoke(main, ["check-config", "--config", str(path)])


def test_check_config_warns_of_what_is_hardly_meant(tmp_path: Path) -> None:
    result = check_config(tmp_path, "")
    assert result.exit_code == 0
    warning = f"{tmp_path}/ramsterd.toml: warning: found 2 [[export]] and no door to it"
    assert warning in result.stderr
    assert "warning" not in result.stdout


def test_more_copies_than_peers_keep_no_node_from_starting(tmp_path: Path) -> None:
    result = check_config(tmp_path, "[remote]\ncopies = 3\n")
    assert result.exit_code == 0
    assert "warning: remote.copies: found 3, expected at most 1" in result.stderr


def test_check_config_warns_of_what_this_machine_can_not_give(tmp_path: Path) -> None:
    result = check_config(tmp_path, '[control]\nsocket = "run/c"\n')
    assert result.exit_code == 0
    assert f"warning: control.socket: found no folder {tmp_path}/run" in result.stderr


def test_check_config_compares_doors_with_the_links(tmp_path: Path) -> None:
    result = check_config(tmp_path, '[metrics]\nlisten = "127.0.0.1:7701"\n')
    assert result.exit_code == 78
    assert result.output == (
        f"ramsterd: {tmp_path}/ramsterd.toml: metrics.listen: found '127.0.0.1:7701',"
        " expected another port than 7701, where the links of node alpha are\n"
    )


def test_leaves_of_nested_groups_come_in_order() -> None:
    first, second, third = CannotServe("a"), ValueError("b"), KeyboardInterrupt()
    inner = BaseExceptionGroup("", [second, BaseExceptionGroup("", [third])])
    assert list(leaves(BaseExceptionGroup("", [first, inner]))) == [first, second, third]


def with_state(folder: Path, command: str, state_dir: str) -> Result:
    write(folder, "cluster.toml", CLUSTER)
    path = write(folder, "ramsterd.toml", f'state_dir = "{state_dir}"\n{DAEMON}')
    return CliRunner().invoke(main, [command, "--config", str(path)])


def test_check_config_warns_where_a_restart_would_serve_zeros(tmp_path: Path) -> None:
    result = with_state(tmp_path, "check-config", "")
    assert result.exit_code == 0
    assert 'warning: state_dir: found "", expected a folder' in result.stderr
    assert "state_dir" not in with_state(tmp_path, "check-config", "state").stderr


def test_a_damaged_state_file_is_one_line_until_it_is_reset(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    write(tmp_path / "state", "state.json", "{")
    result = with_state(tmp_path, "check-config", "state")
    assert result.exit_code == 78
    assert result.output.count("\n") == 1
    assert "`ramsterd reset-state`" in result.output
    result = with_state(tmp_path, "reset-state", "state")
    assert result.exit_code == 0
    assert f"the old file is {tmp_path}/state/state.json.aside\n" in result.output
    assert "lost: swap0, disk1; start ramsterd, then `ramsterctl exports`\n" in result.output
    assert with_state(tmp_path, "check-config", "state").exit_code == 0


def test_a_state_is_not_reset_under_a_running_daemon(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    result = with_state(tmp_path, "reset-state", "state")
    folder.close()
    assert result.exit_code == 1
    assert "another ramsterd uses this state_dir: stop it first" in result.output
