import os
from pathlib import Path

import pytest

from ramsterd.attach.lock import HelperLock, Locked, helper_of


def test_one_helper_has_a_device(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert helper_of("nbd0", folder) is None
    with HelperLock("nbd0", folder):
        assert helper_of("nbd0", folder) == os.getpid()
        assert helper_of("nbd1", folder) is None
        with pytest.raises(Locked) as caught:
            HelperLock("nbd0", folder)
        assert caught.value.process == os.getpid()
    assert helper_of("nbd0", folder) is None, "its number in the file is of no account"
    with HelperLock("nbd0", folder):
        pass


def test_a_file_that_says_nothing_names_no_process(tmp_path: Path) -> None:
    with HelperLock("nbd0", tmp_path):
        (tmp_path / "nbd0").write_text("?\n")
        assert helper_of("nbd0", tmp_path) is None


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nbd0")
    with pytest.raises(OSError, match="expected a plain file"):
        HelperLock("nbd0", tmp_path)
    (tmp_path / "nbd1").symlink_to(tmp_path / "nbd0")
    with pytest.raises(OSError, match="symbolic links"):
        HelperLock("nbd1", tmp_path)
    assert helper_of("nbd0", tmp_path) is None
