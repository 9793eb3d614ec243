import io
import os
import tarfile
from pathlib import Path

import pytest

from config.limits import PAGE_BYTES
from ramsterd.demo.archive import (
    PIECE_BYTES,
    Archive,
    TreeTooSmall,
    checked_folder,
    plan_archive,
    python_folders,
)

BYTES_MAX = 1 << 22


def plan(*folders: Path, bytes_min: int = PAGE_BYTES, bytes_max: int = BYTES_MAX) -> Archive:
    return plan_archive(folders, bytes_min=bytes_min, bytes_max=bytes_max)


def unpacked(archive: Archive) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(archive.pieces()))) as tar:
        return {f"/{info.name}": tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]  # files only


def make_tree(folder: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    contents = {}
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        contents[str(path)] = path.read_bytes()
    return contents


def test_tar_reads_back_every_file(tmp_path: Path) -> None:
    sizes = {"a": 0, "b/c": 1, "b/d": 511, "b/e": 512, "f": 513, "g" * 150: 3 * PIECE_BYTES + 1}
    contents = make_tree(tmp_path, sizes)
    assert unpacked(plan(tmp_path)) == contents


def test_the_archive_is_whole_pages_of_the_planned_length(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": 5, "b": 2 * PIECE_BYTES})
    archive = plan(tmp_path)
    pieces = list(archive.pieces())
    assert sum(map(len, pieces)) == archive.archive_bytes
    assert archive.archive_bytes % PAGE_BYTES == 0
    assert {len(piece) for piece in pieces[:-1]} == {PIECE_BYTES}


@pytest.mark.parametrize("size_now", [0, 10, 100_000, None])
def test_a_file_that_changes_after_the_plan_keeps_its_planned_length(
    tmp_path: Path, size_now: int | None
) -> None:
    make_tree(tmp_path, {"a": 5000, "b": 7})
    archive = plan(tmp_path)
    if size_now is None:
        (tmp_path / "a").unlink()
    else:
        (tmp_path / "a").write_bytes(b"x" * size_now)
    kept = min(size_now or 0, 5000)
    assert sum(map(len, archive.pieces())) == archive.archive_bytes
    found = unpacked(archive)
    assert found[str(tmp_path / "a")] == b"x" * kept + bytes(5000 - kept)
    assert found[str(tmp_path / "b")] == (tmp_path / "b").read_bytes()


def test_only_regular_files_are_taken(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": 5})
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    assert list(unpacked(plan(tmp_path))) == [str(tmp_path / "a")]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(path)).write_bytes(b"abc")
    assert unpacked(plan(tmp_path)) == {os.fsdecode(path): b"abc"}


def test_files_that_would_exceed_the_cap_stay_out(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": 100_000, "b": 900_000, "c": 100_000})
    archive = plan(tmp_path, bytes_max=500_000)
    assert [member.path.name for member in archive.members] == ["a", "c"]
    assert archive.archive_bytes <= 500_000


def test_a_tree_that_is_too_small_says_what_was_found(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": 1 << 20})
    with pytest.raises(TreeTooSmall) as caught:
        plan(tmp_path, bytes_min=64 << 20, bytes_max=128 << 20)
    assert str(caught.value) == (
        f"found 1 files, 1.0 MiB as an archive, under {tmp_path}; expected at least 64 MiB"
    )


def test_a_further_folder_is_used_only_for_want_of_enough(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        make_tree(folder, {"a": 10_000})
    archive = plan(first, second, third, bytes_min=20_000)
    assert archive.folders == (first, second)
    assert len(archive.members) == 2


def test_a_folder_inside_a_later_one_is_not_taken_twice(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    contents = make_tree(tmp_path, {"a": 10, "inner/b": 10})
    archive = plan(inner, tmp_path, bytes_min=PAGE_BYTES)
    assert len(archive.members) == 2
    assert unpacked(archive) == contents


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreeTooSmall, match=f"found no folder {tmp_path}/nothing; expected"):
        checked_folder(tmp_path / "nothing")


def test_python_itself_is_a_real_tree() -> None:
    folders = python_folders()
    assert (folders[0] / "os.py").exists()
    assert len(folders) == len(set(folders))
