"""The container image: its layout by the specification, and what runs in it."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from packages.image.archive import archive_of_files, archive_of_tree
from packages.image.base import CannotBuild, closure, names_in
from packages.image.build import EXECUTION, build
from packages.image.oci import Layer, layout
from packages.release import release
from ramsterd import __version__
from tests.helpers.requirements import require_root, require_tool
from tests.packages.kubernetes_example import OBJECTS, init_command, secret_files

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


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """Return what a descriptor leads to, judged as who pulls it does."""
    assert set(descriptor) >= {"mediaType", "digest", "size"}
    kind, _, digest = descriptor["digest"].partition(":")
    found = files[f"blobs/{kind}/{digest}"]
    assert hashlib.sha256(found).hexdigest() == digest
    assert len(found) == descriptor["size"]
    return found


def judge(files: dict[str, bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the configuration and the layers, by all that the specification requires (version 1.1)."""
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    (entry,) = index["manifests"]
    manifest = json.loads(blob(files, entry))
    assert manifest["schemaVersion"] == 2
    assert (
        entry["mediaType"] == manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    )
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    config = json.loads(blob(files, manifest["config"]))
    assert set(config) >= {"architecture", "os", "rootfs"}
    assert config["rootfs"]["type"] == "layers"
    layers = []
    for descriptor in manifest["layers"]:
        assert descriptor["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
        layers.append(gzip.decompress(blob(files, descriptor)))
    sums = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    assert config["rootfs"]["diff_ids"] == sums
    assert len(config["history"]) == len(layers)
    known = {"oci-layout", "index.json", f"blobs/{manifest['config']['digest'].replace(':', '/')}"}
    known |= {f"blobs/{each['digest'].replace(':', '/')}" for each in (entry, *manifest["layers"])}
    assert set(files) == known, "no blob that nobody leads to"
    return config, layers


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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of the image of this tree."""
    require_tool("dpkg-query", "/usr/bin/python3")
    file = build(tmp_path_factory.mktemp("image"))
    assert file.name.startswith(f"ramster-{__version__}-")
    with tarfile.open(file) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def unpacked(image: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with what a container sees."""
    require_root()
    root = tmp_path_factory.mktemp("container") / "root"
    root.mkdir()
    for layer in judge(image)[1]:
        subprocess.run(["tar", "--extract", "--directory", root], input=layer, check=True)
    yield root
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a container does: with the variables of the image, and nothing of this machine.

    Its address is that of the first node of the example.
    """
    mounts = (
        'mount -t proc proc "$0/proc" && mkdir -p "$0/kept" && mount -t tmpfs -o size=90% tmpfs "$0/kept" && '
        'ip link set lo up && ip address add 192.0.2.11/24 dev lo && exec chroot "$0" "$@"'
    )
    variables = dict(each.split("=", 1) for each in EXECUTION["Env"])
    require_tool("unshare", "ip")
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", mounts, root, *command],
        env=variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.root
def test_a_container_runs_the_programs(unpacked: Path) -> None:
    (program,) = EXECUTION["Entrypoint"]
    assert run(unpacked, program, "--version").stdout == f"ramsterd, version {__version__}\n"
    assert run(unpacked, "ramsterctl", "--version").stdout == f"ramsterctl, version {__version__}\n"
    samples = "/usr/share/doc/ramster/examples"
    checked = run(unpacked, program, "check-config", "--config", f"{samples}/ramsterd.toml")
    assert checked.returncode == 0, checked.stderr
    assert "node alpha (1) at 127.0.0.1:7701" in checked.stdout
    # Without files it says so, in one line.
    refused = run(unpacked, program, *EXECUTION["Cmd"])
    assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
    made = run(unpacked, "ramsterctl", "cluster", "init", "--name", "x", "--nodes", "a=127.0.0.1",
               "--out", "/tmp/x")  # fmt: skip
    assert made.returncode == 0, made.stderr
    # A shell with the small tools.
    assert run(unpacked, "sh", "-c", "id -u && ls -d /etc/ramster").stdout == "0\n/etc/ramster\n"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.root
def test_a_pod_of_the_example_has_files_that_are_right(unpacked: Path) -> None:
    """The configuration of the example, and keys as the page makes them, put where Kubernetes puts them."""
    made = run(unpacked, "sh", "-c", f"cd /tmp && {' '.join(init_command())}")
    assert made.returncode == 0, made.stderr
    (unpacked / "config").mkdir()
    (unpacked / "keys").mkdir()
    for name, text in OBJECTS["ConfigMap"]["data"].items():
        (unpacked / "config" / name).write_text(text)
    for name, place in secret_files().items():
        target = unpacked / "keys" / name
        target.write_bytes((unpacked / "tmp" / place).read_bytes())
        target.chmod(0o400)
    (pod,) = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]["initContainers"]
    copy = [word.replace("$(NODE_NAME)", "worker-1") for word in pod["command"]]
    assert run(unpacked, *copy).returncode == 0
    checked = run(unpacked, "ramsterd", "check-config", "--config", "/etc/ramster/worker-1.toml")
    assert checked.returncode == 0, checked.stderr
    assert "node worker-1 (1) at 192.0.2.11:7700" in checked.stdout
    assert "links: TLS 1.3" in checked.stdout


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
