"""The container image: its layout by the specification, and what runs in it."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Final

import pytest

from packages.image.archive import archive_of_files, archive_of_tree
from packages.image.base import CannotBuild, closure, names_in
from packages.image.build import EXECUTION, build
from packages.image.oci import Layer, layout
from packages.release import release
from ramsterd import __version__
from tests.helpers.requirements import require_tool
from tests.helpers.roots import Root
from tests.packages.layouts import judge

EPOCH: Final = 1_500_000_000
SECOND_LAYER: Final = {"etc/name": b"second"}


def layout_of(*contents: dict[str, bytes]) -> dict[str, bytes]:
    layers = [
        Layer(archive=archive_of_files(each, EPOCH), made_by=f"layer {number}")
        for number, each in enumerate(contents)
    ]
    return layout(
        layers, architecture="amd64", created="2017-07-14T02:40:00Z", execution=EXECUTION,
        reference="ramster:7.1", annotations={},
    )  # fmt: skip


def test_a_layout_has_what_the_specification_requires() -> None:
    config, layers = judge(layout_of({"etc/name": b"first"}, SECOND_LAYER))
    assert (config["architecture"], config["os"], config["config"]) == ("amd64", "linux", EXECUTION)
    assert len(layers) == 2
    entry = json.loads(layout_of({}, {})["index.json"])["manifests"][0]["annotations"]
    assert entry["org.opencontainers.image.ref.name"] == "7.1"


def test_a_blob_that_was_changed_would_be_seen() -> None:
    files = layout_of(SECOND_LAYER)
    name = max(files, key=lambda each: len(files[each]))
    with pytest.raises(AssertionError):
        judge(files | {name: files[name] + b"\0"})


def test_the_same_files_are_the_same_layer_on_every_machine(tmp_path: Path) -> None:
    def make(name: str, order: list[str]) -> bytes:
        root = tmp_path / name
        for file in order:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
        (root / "link").symlink_to("a/one")
        (root / "a").chmod(0o755)
        return archive_of_tree(root, EPOCH)

    first = make("first", ["a/one", "two"])
    assert first == make("second", ["two", "a/one"])
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        found = {each.name: each for each in tar.getmembers()}
    assert list(found) == ["a", "a/one", "link", "two"]
    assert {(each.uid, each.gid, each.uname, each.mtime) for each in found.values()} == {
        (0, 0, "", EPOCH)
    }


def test_names_of_packages_are_found_in_what_a_package_depends_on() -> None:
    found = names_in("libc6 (>= 2.36), libssl3:any, media-types | mime-support, , zlib1g")
    assert found == ["libc6", "libssl3", "media-types", "zlib1g"]


def test_a_missing_package_is_named_with_what_to_type() -> None:
    require_tool("dpkg-query")
    with pytest.raises(CannotBuild, match="apt-get install no-such-package"):
        closure(("no-such-package",))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.root
def test_a_container_runs_the_programs(unpacked: Path) -> None:
    (program,) = EXECUTION["Entrypoint"]
    with Root(unpacked) as root:
        assert root.type(program, "--version").startswith(f"ramsterd, version {__version__};")
        assert root.type("ramsterctl", "--version") == f"ramsterctl, version {__version__}\n"
        sample = "/usr/share/doc/ramster/examples/ramsterd.toml"
        checked = root.type(program, "check-config", "--config", sample)
        assert "node alpha (1) at 127.0.0.1:7701" in checked
        # Without files it says so, in one line.
        refused = root.run(program, *EXECUTION["Cmd"])
        assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
        # A shell with the small tools.
        assert root.type("sh", "-c", "id -u && ls -d /etc/ramster") == "0\n/etc/ramster\n"


@pytest.mark.long
@pytest.mark.slow
def test_an_image_has_no_right_and_no_file_that_it_should_not_have(image: dict[str, bytes]) -> None:
    _, layers = judge(image)
    entries: dict[str, tarfile.TarInfo] = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            entries |= {each.name: each for each in tar.getmembers()}
    plain = [each for each in entries.values() if not each.issym()]
    assert {each.name for each in plain if each.mode & 0o022} == {"tmp"}
    assert [each.name for each in plain if each.mode & 0o6000] == []
    assert {each.uid for each in plain} == {each.gid for each in plain} == {0}
    assert [name for name in entries if name.startswith(("root/", "home/", "tmp/"))] == []
    assert {"var/lib/dpkg/status.d/python3", "usr/share/doc/libc6/copyright"} <= set(entries)
    assert {each.mtime for each in plain} == {release().epoch}


@pytest.mark.long
@pytest.mark.slow
def test_an_image_that_is_built_again_is_the_same(image: dict[str, bytes], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        file = build(tmp_path)
    finally:
        os.umask(before)
    with tarfile.open(file) as tar:
        # Blobs are called by their sums.
        assert set(tar.getnames()) == set(image)
