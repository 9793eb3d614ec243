"""The folder: one daemon at a time, and a file that is replaced as a whole."""

import os
import stat
from pathlib import Path

import pytest

from ramsterd.statefile.content import STATE_BYTES_MAX, Content, DamagedState, Record
from ramsterd.statefile.folder import FILE_NAME, StateFolder, StateFolderTaken, read_state

ONE = Content(1, {"swap0": Record("1" * 32)})
TWO = Content(2, {"swap0": Record("2" * 32)})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    assert read_state(folder.file) == Content()
    folder.write(ONE, 1)
    folder.close()
    folder = StateFolder(tmp_path / "state")
    assert read_state(folder.file) == ONE
    assert stat.S_IMODE(folder.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.file.parent.stat().st_mode) == 0o700
    folder.close()


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with pytest.raises(
        StateFolderTaken, match=rf"another ramsterd uses this state_dir: process {os.getpid()} "
    ):
        StateFolder(tmp_path)
    folder.close()
    StateFolder(tmp_path).close()


def test_a_writer_that_comes_late_does_not_bring_back_what_is_old(tmp_path: Path) -> None:
    """A stop gives up a writer that hangs, and writes once more; the first may wake after that."""
    folder = StateFolder(tmp_path)
    folder.write(TWO, 2)
    folder.write(ONE, 1)
    assert read_state(folder.file) == TWO
    folder.close()


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f".{FILE_NAME}.abc").write_text("half")
    (tmp_path / "other").write_text("not ours")
    StateFolder(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "other"}


def test_only_the_folder_itself_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StateFolder(tmp_path / "missing" / "state")


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.write(ONE, 1)
    (tmp_path / "state").rename(tmp_path / "away")
    with pytest.raises(OSError, match="No such file"):
        folder.write(TWO, 2)
    (tmp_path / "away").rename(tmp_path / "state")
    assert read_state(folder.file) == ONE
    folder.write(TWO, 3)
    assert read_state(folder.file) == TWO
    folder.close()


def test_a_file_that_is_too_large_is_damaged(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.file.open("wb") as file:
        os.ftruncate(file.fileno(), STATE_BYTES_MAX + 1)
    with pytest.raises(DamagedState, match=f"more than {STATE_BYTES_MAX} bytes"):
        read_state(folder.file)
    folder.close()
