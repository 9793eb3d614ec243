"""A node's own file, changed by a command: judged first, then written, and never over what somebody else has written."""

import errno
import os
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.export_edits import AddExport, ExportEdit, RemoveExport, ResizeExport
from config.findings import Finding
from config.load import load_node
from config.model import DaemonConfig, ExportConfig
from ramsterd.reconfigure import examine
from ramsterd.reconfigure.node_files import NodeFiles, Proposal
from tests.helpers.config_texts import CLUSTER, DAEMON, write

ROW = '[[export]]\nname = "disk2"\nsize = "2MiB"\n'
ADD = AddExport(ExportConfig(name="disk2", size=2 << 20))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path, "cluster.toml", CLUSTER)
    return write(tmp_path, "ramsterd.toml", DAEMON)


def opened(config: Path) -> tuple[NodeFiles, DaemonConfig]:
    daemon, _, node = load_node(config)
    return NodeFiles(config, node), daemon


def propose(files: NodeFiles, loaded: DaemonConfig, edit: ExportEdit = ADD) -> Proposal:
    return files.propose(edit, loaded=loaded, running=loaded)


def test_a_change_is_judged_and_written_with_mode_and_owner_as_they_were(config: Path) -> None:
    config.chmod(0o640)
    files, daemon = opened(config)
    proposal = propose(files, daemon)
    assert config.read_text() == DAEMON, "nothing is written yet"
    assert [each.name for each in proposal.daemon.export] == ["swap0", "disk1", "disk2"]
    assert proposal.found.daemon == proposal.daemon
    assert proposal.found.tmem_users == {0, os.geteuid()}
    assert files.write(proposal) == ""
    assert config.read_text() == DAEMON + ROW
    assert config.stat().st_mode & 0o777 == 0o640


def test_what_the_daemon_has_not_read_is_told_with_what_to_type(config: Path) -> None:
    files, daemon = opened(config)
    config.write_text("# a comment is no change\n" + DAEMON)
    propose(files, daemon)
    config.write_text(DAEMON.replace('"1MiB"', '"2MiB"') + '[log]\nlevel = "debug"\n')
    with pytest.raises(ConfigError) as refused:
        propose(files, daemon)
    assert str(refused.value) == (
        f"{config}: found changes that the daemon has not read (export.swap0.size, log.level),"
        " expected the file as the daemon has read it: type `ramsterctl config reload`, then repeat the command"
    )


def test_what_was_read_and_waits_for_a_restart_is_no_obstacle(config: Path) -> None:
    files, daemon = opened(config)
    config.write_text(DAEMON.replace('budget = "8MiB"', 'budget = "16MiB"'))
    loaded, _, _ = load_node(config)
    proposal = files.propose(ADD, loaded=loaded, running=daemon)
    assert proposal.daemon.memory.budget == 16 << 20


def test_a_file_that_changes_while_the_command_is_carried_out_is_left_alone(config: Path) -> None:
    files, daemon = opened(config)
    proposal = propose(files, daemon)
    config.write_text(DAEMON + "# mine\n")
    with pytest.raises(ConfigError, match="found a change made meanwhile"):
        files.write(proposal)
    assert config.read_text() == DAEMON + "# mine\n"


def test_a_file_that_is_wrong_is_told(config: Path) -> None:
    files, daemon = opened(config)
    config.write_text(DAEMON + "x = 1\n")
    with pytest.raises(
        ConfigError, match=r'export 2 \("disk1"\), line 11: x: found an unknown key'
    ):
        propose(files, daemon)


def test_a_text_that_would_be_wrong_is_told_and_not_written(config: Path) -> None:
    files, _ = opened(config)
    row = '[[export]]\nname = "e{}"\nsize = 4096\n'
    config.write_text(DAEMON + "".join(row.format(number) for number in range(62)))
    loaded, _, _ = load_node(config)
    with pytest.raises(
        ConfigError, match=r"export: found 65 \[\[export\]\] tables, expected 0 to 64"
    ):
        propose(files, loaded)
    assert "disk2" not in config.read_text()


def test_warnings_are_those_that_the_change_brings(config: Path) -> None:
    config.write_text(DAEMON + '[nbd]\nsocket = "nbd"\n')
    files, daemon = opened(config)
    huge = AddExport(ExportConfig(name="huge", size=1 << 45))
    before = propose(files, daemon).found.warnings
    found = propose(files, daemon, huge).found.warnings
    assert before == ()
    assert any("found 32 TiB of exports, expected at most" in each for each in found)
    assert not any("state_dir" in each for each in found)


def test_a_full_disk_leaves_the_file_as_it_was(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, daemon = opened(config)
    proposal = propose(files, daemon)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ConfigError, match="found no space left on device, expected a file that can"
    ):
        files.write(proposal)
    assert config.read_text() == DAEMON
    assert sorted(each.name for each in config.parent.iterdir()) == [
        "cluster.toml",
        "ramsterd.toml",
    ]


def test_a_folder_that_is_not_synced_is_told_for_the_change_is_there(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, daemon = opened(config)
    proposal = propose(files, daemon)
    whole = os.fsync

    def fail_for_folders(number: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{number}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        whole(number)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    told = files.write(proposal)
    assert told.endswith("the file has the change, and may be the old one after a power cut")
    assert config.read_text() == DAEMON + ROW


def test_a_file_of_another_user_is_told_with_what_to_type(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, daemon = opened(config)
    proposal = propose(files, daemon)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(ConfigError) as refused:
        files.write(proposal)
    assert str(refused.value) == (
        f"{config}: found operation not permitted, expected a file of the user of the daemon:"
        f" type `chown --reference={config.parent} {config}`"
    )


def test_a_read_only_file_is_found_before_anything_is_done(config: Path) -> None:
    files, daemon = opened(config)
    config.chmod(0o440)
    with pytest.raises(ConfigError, match="found a read-only file"):
        propose(files, daemon)


def test_what_changes_nothing_writes_nothing(config: Path) -> None:
    files, daemon = opened(config)
    before = config.stat()
    for edit in (RemoveExport("none"), ResizeExport("disk1", 4096)):
        assert files.write(propose(files, daemon, edit)) == ""
    assert config.stat().st_ino == before.st_ino


def test_all_files_are_read_again(config: Path) -> None:
    files, daemon = opened(config)
    assert files.reread(daemon).daemon == daemon


def test_what_the_next_start_would_end_with_is_refused_if_it_is_new(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `check-config` would refuse it; what is wrong already is another matter."""
    files, daemon = opened(config)
    exports_max = 2

    def judge(daemon: DaemonConfig, *_: object, file: str, **__: object) -> list[Finding]:
        found = Finding(
            file=file, key="memory.lock", found="no room", expected="some", is_error=True
        )
        return [found] if len(daemon.export) > exports_max else []

    monkeypatch.setattr(examine, "judge_machine", judge)
    with pytest.raises(ConfigError, match="found no room, expected some"):
        propose(files, daemon)
    exports_max = 1
    assert not any("no room" in each for each in propose(files, daemon).found.warnings)
