from pathlib import Path

from ramsterd.host.build import BUILD_FILE, FROM_SOURCE, read_build


def test_what_made_the_package_has_noted_which_build_it_is(tmp_path: Path) -> None:
    (tmp_path / BUILD_FILE).write_text("2026-11-30 0123abc\n")
    assert read_build(tmp_path) == "2026-11-30 0123abc"


def test_a_tree_that_nobody_packed_is_no_build(tmp_path: Path) -> None:
    assert read_build(tmp_path) == FROM_SOURCE
