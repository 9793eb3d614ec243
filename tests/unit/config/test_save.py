"""A file is replaced whole or not at all."""

import errno
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.errors import ConfigError
from config.host import own_user
from config.load import load_cluster
from config.save import check_room, save_members, save_text

TEXT = 'name = "test"\n[[node]]\nnumber = 1\nname = "alpha"\naddress = "127.0.0.1"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.toml"
    path.write_text(TEXT)
    return path


def test_mode_and_owner_stay(path: Path) -> None:
    path.chmod(0o640)
    before = path.stat()
    save_text(path, "new\n")
    after = path.stat()
    assert path.read_text() == "new\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert [each.name for each in path.parent.iterdir()] == ["cluster.toml"]


def test_a_link_stays_a_link(path: Path) -> None:
    link = path.parent / "link.toml"
    link.symlink_to(path)
    save_text(link, "new\n")
    assert link.is_symlink()
    assert path.read_text() == "new\n"


def test_a_crash_before_the_rename_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child does what we do and dies where a power cut would strike."""

    def die(source: str, target: Path) -> None:
        os._exit(9)

    monkeypatch.setattr(os, "rename", die)
    child = os.fork()
    if not child:
        save_text(path, "new\n")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()
    assert path.read_text() == TEXT
    save_text(path, "newer\n")
    assert path.read_text() == "newer\n"


@pytest.mark.parametrize("call", ["fsync", "fchmod", "rename"])
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(ConfigError, match="no space left on device"):
        save_text(path, "new\n")
    assert path.read_text() == TEXT
    assert [each.name for each in path.parent.iterdir()] == ["cluster.toml"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_quota_is_told_with_whose_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def over(*args: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, call, over)
    user = own_user().name
    with pytest.raises(ConfigError) as refused:
        save_text(path, "new\n")
    assert str(refused.value).endswith(
        f"found disk quota exceeded, expected room in the quota of user {user}: `quota -s -u {user}` shows it"
    )
    assert path.read_text() == TEXT


def test_a_read_only_file_is_left_alone(path: Path) -> None:
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="a read-only file, expected a file that may be written"):
        save_text(path, "new\n")
    assert path.read_text() == TEXT


def test_a_file_that_is_gone_is_told(path: Path) -> None:
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        save_text(path, "new\n")


def test_members_are_saved_and_read_back(path: Path) -> None:
    wanted = replace(load_cluster(path), membership_version=8)
    save_members(path, wanted)
    assert load_cluster(path) == wanted


def test_a_file_that_no_reader_would_take_is_not_written(path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        save_text(path, "#" * (1 << 20) + "\n")
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("changes", "is_full"),
    [
        ({}, False),
        ({"f_bavail": 0, "f_bfree": 0}, True),
        ({"f_favail": 0}, True),
        # It counts neither blocks nor files.
        ({"f_blocks": 0, "f_bavail": 0, "f_bfree": 0, "f_files": 0, "f_favail": 0}, False),
        # Blocks for root alone.
        ({"f_bavail": 0}, os.geteuid() != 0),
    ],
)
def test_a_full_disk_is_seen_before_it_is_written_to(
    path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], is_full: bool
) -> None:
    some = {"f_blocks": 9, "f_bfree": 5, "f_bavail": 4, "f_files": 9, "f_favail": 3}
    found = SimpleNamespace(**{"f_frsize": 4096, **some, **changes})
    monkeypatch.setattr(os, "statvfs", lambda folder: found if folder == path.parent else None)
    with pytest.raises(ConfigError, match="no space left") if is_full else nullcontext():
        check_room(path)


def test_of_a_file_that_is_gone_nothing_is_known(path: Path) -> None:
    path.unlink()
    check_room(path)
