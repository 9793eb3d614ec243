"""Before a daemon serves: what is wrong with a state folder or file is one line that says what to do."""

import errno
from pathlib import Path

import pytest

from config.errors import ConfigError
from ramsterd.statefile.content import Content, PoolKey, Record
from ramsterd.statefile.folder import FILE_NAME, StateFolder, StateFolderTaken, read_state
from ramsterd.statefile.start import check_state, new_generation, open_state, rewrite_state

FILE = "/etc/ramster/ramsterd.toml"


def damage(folder: Path) -> Path:
    folder.mkdir()
    file = folder / FILE_NAME
    file.write_text('{"format": 1')
    return file


def test_a_new_folder_knows_nothing(tmp_path: Path) -> None:
    keeper = open_state(tmp_path / "state", file=FILE, started_at=7)
    assert keeper.last_incarnation == 0
    assert not keeper.marks.losses()
    with pytest.raises(StateFolderTaken):
        open_state(tmp_path / "state", file=FILE, started_at=7)


def test_what_the_last_run_noted_is_lost(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.write(Content(5, {"swap0": Record(new_generation())}), 1)
    folder.close()
    keeper = open_state(tmp_path, file=FILE, started_at=7)
    assert keeper.last_incarnation == 5
    assert [(loss.name, loss.lost_at) for loss in keeper.marks.losses()] == [("swap0", 7)]


def test_a_folder_that_cant_be_made_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "state"
    with pytest.raises(ConfigError) as error:
        open_state(path, file=FILE, started_at=7)
    assert str(error.value) == (
        f"{FILE}: state_dir: found '{path}' (no such file or directory), expected a folder that"
        f" this user may write to: make it, as in `install -d -o USER -m 700 {path}`"
    )


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("")
    with pytest.raises(ConfigError, match="not a file: move the file away"):
        open_state(path, file=FILE, started_at=7)


def test_a_damaged_file_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    file = damage(tmp_path / "state")
    expected = (
        f"{file}: found a damaged state file (no JSON), expected the file that ramsterd wrote;"
        " `ramsterd reset-state` sets it aside and calls every export lost"
    )
    with pytest.raises(ConfigError) as error:
        open_state(tmp_path / "state", file=FILE, started_at=7)
    assert str(error.value) == expected
    with pytest.raises(ConfigError) as error:
        check_state(tmp_path / "state")
    assert str(error.value) == expected


def test_a_file_that_cant_be_read_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match="can't be read"):
        open_state(tmp_path, file=FILE, started_at=7)


def test_a_check_needs_no_folder(tmp_path: Path) -> None:
    check_state(None)
    check_state(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_rewritten_file_calls_every_export_lost_and_keeps_the_old_one(tmp_path: Path) -> None:
    file = damage(tmp_path / "state")
    aside = rewrite_state(tmp_path / "state", ["a", "b"], file=FILE, lost_at=7)
    assert aside is not None
    assert aside.read_text() == '{"format": 1'
    assert {name: each.lost_at for name, each in read_state(file).records.items()} == {
        "a": 7,
        "b": 7,
    }


def test_a_rewrite_that_fails_leaves_the_old_file_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any file the next start would take every export for blank."""
    file = damage(tmp_path / "state")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StateFolder, "write", fail)
    with pytest.raises(ConfigError, match="no space left on device"):
        rewrite_state(tmp_path / "state", ["a"], file=FILE, lost_at=7)
    assert file.read_text() == '{"format": 1'
    monkeypatch.undo()
    assert rewrite_state(tmp_path / "state", ["a"], file=FILE, lost_at=7) is not None


def test_what_a_whole_file_says_of_pools_is_kept(tmp_path: Path) -> None:
    pool = PoolKey(1000, "results")
    folder = StateFolder(tmp_path)
    folder.write(Content(12, {pool: Record("0" * 32), "old": Record("1" * 32, 3)}), 1)
    folder.close()
    rewrite_state(tmp_path, ["a"], file=FILE, lost_at=7)
    content = read_state(tmp_path / FILE_NAME)
    lost = {key: each.lost_at for key, each in content.records.items()}
    assert (content.last_incarnation, lost) == (12, {pool: 7, "old": 3, "a": 7})


def test_a_file_that_was_deleted_is_rewritten_too(tmp_path: Path) -> None:
    assert rewrite_state(tmp_path, ["a"], file=FILE, lost_at=7) is None
    assert list(read_state(tmp_path / FILE_NAME).records) == ["a"]


def test_there_is_nothing_to_rewrite_without_a_folder() -> None:
    with pytest.raises(ConfigError, match='state_dir: found "", expected a folder'):
        rewrite_state(None, [], file=FILE, lost_at=7)
