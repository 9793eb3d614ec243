"""The kept memory of each release so far: this one attaches it with every page, or refuses it by name."""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from ramsterd import __version__
from ramsterd.core.codec import checksum_of
from ramsterd.core.foreign_pages import get_zpages
from ramsterd.core.page import PoolId
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.kept import super_page
from ramsterd.kept.keepers.keeper import DESCRIPTOR_PREFIX, KeeperRefused, ProcessKeeper
from ramsterd.kept.layout import LAYOUT_VERSION
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.names import NO_GENERATION
from ramsterd.kept.opening import Identity
from tests.kept_images.making import make_image
from tests.kept_images.packed_image import FRAME_BYTES, IMAGES, read_manifest, unpack

ALL: Final = sorted(IMAGES.glob("*.zip"))
OF_THIS_RELEASE: Final = IMAGES / f"{__version__}.zip"
# The image must stay small, as there will be one for each release.
IMAGE_BYTES_MAX: Final = 32 * 1024
READABLE: Final = [path for path in ALL if read_manifest(path)["layout_version"] == LAYOUT_VERSION]
OTHERS: Final = [path for path in ALL if path not in READABLE]
# Where the layout version stands in `super`, for ever.
VERSION_AT: Final = 8


def name_of(path: Path) -> str:
    return path.stem


def open_files(path: Path, files: dict[str, int]) -> KeptMemory:
    """Open an image as the node does whose memory it is."""
    of = read_manifest(path)
    identity = Identity(
        cluster=of["cluster"],
        node=of["node"],
        node_name=of["node_name"],
        boot_id=bytes.fromhex(of["boot_id"]),
        memory_id=bytes.fromhex(of["memory_id"]),
    )
    return KeptMemory(
        ProcessKeeper([(DESCRIPTOR_PREFIX + name, fd) for name, fd in files.items()]),
        identity,
        new_memory_id=lambda: pytest.fail("the memory was given up"),
        now_seconds=0,
    )


@contextmanager
def attached(path: Path) -> Iterator[tuple[KeptMemory, Store, Any]]:
    of = read_manifest(path)
    with closing(open_files(path, unpack(path))) as memory:
        assert memory.incarnation is not None
        limits = StoreLimits(
            budget_bytes=of["budget_bytes"],
            budget_bytes_max=of["budget_bytes"],
            pages_max=of["pages_max"],
        )
        yield memory, memory.make_store(limits, memory.incarnation), of


@pytest.mark.parametrize("path", READABLE, ids=name_of)
def test_each_page_is_there_where_it_was(path: Path) -> None:
    with attached(path) as (_, store, of):
        store.check_invariants()
        assert {page["is"] for page in of["pages"]} == {"here", "elsewhere", "lost", "hole"}
        for page in of["pages"]:
            check_page(store, page)


def check_page(store: Store, page: Any) -> None:
    place = PoolId(page["pool"]), bytes.fromhex(page["object"]), page["index"]
    found = store.get(*place, 1)
    row = dict(found.elsewhere).get(0, 0)
    match page["is"]:
        case "here":
            assert found.pages[0] is not None
            assert checksum_of(found.pages[0]) == page["checksum"]
            serial = store.serial_of(*place)
        case "elsewhere":
            assert store.rows.checksum(row) == page["checksum"]
            assert store.rows.holders(row) == page["holders"]
            serial = store.rows.serial(row)
        case "lost":
            assert found.lost_count == 1
            return
        case _:
            assert (found.pages, found.lost_count, row) == ([None], 0, 0)
            return
    if page["holders"]:
        assert serial == page["serial"]


@pytest.mark.parametrize("path", READABLE, ids=name_of)
def test_pages_of_other_nodes_are_there(path: Path) -> None:
    with attached(path) as (_, store, of):
        assert len(of["foreign"]) == 4
        for page in of["foreign"]:
            packed, pieces = get_zpages(store.versions, PoolId(page["pool"]), [page["serial"]])
            assert packed == [page["packed"]]
            assert bytes(pieces[0]).hex() == page["zpage"]


@pytest.mark.parametrize("path", READABLE, ids=name_of)
def test_nothing_is_broken_and_all_names_are_known(path: Path) -> None:
    with attached(path) as (memory, store, of):
        found = memory.attached
        assert found is not None
        assert (found.damaged, found.judgement.faults, found.ended_pools) == ({}, {}, [])
        assert memory.incarnation == of["incarnation"]
        assert [[each.holder, each.node, each.incarnation] for each in found.holders] == of[
            "holders"
        ]
        pools = {pool.pool: pool for pool in found.pools}
        for pool in of["pools"]:
            kept = pools.pop(pool["pool"])
            generation = "" if kept.generation == NO_GENERATION else kept.generation.hex()
            assert (kept.identity.use, kept.kind.value, kept.codec.value, generation) == (
                pool["use"], pool["kind"], pool["codec"], pool["generation"],
            )  # fmt: skip
            assert (kept.identity.name, kept.identity.user, kept.identity.node, kept.identity.incarnation) == (
                pool["name"], pool["user"], pool["node"], pool["incarnation"],
            )  # fmt: skip
        assert not pools
        used = sum(page["is"] in {"here", "elsewhere"} for page in of["pages"])
        assert store.rows.used + zeros_of(of) == used + len(of["foreign"])


def zeros_of(of: Any) -> int:
    """Return how many of the pages that are told of are zeros, which have no row."""
    zeros = checksum_of(bytes(FRAME_BYTES))
    return sum(page["checksum"] == zeros for page in of["pages"])


def test_images_that_this_release_does_not_read_are_refused_by_name() -> None:
    """None so far: see the next test for what the first of them will be told."""
    for path in OTHERS:
        version = read_manifest(path)["layout_version"]
        said = f"is of an older release: layout {version}, expected {LAYOUT_VERSION}"
        with pytest.raises(KeeperRefused, match=said):
            open_files(path, unpack(path))


def is_newer(monkeypatch: pytest.MonkeyPatch, files: dict[str, int]) -> None:
    os.pwrite(files["super"], struct.pack("<I", LAYOUT_VERSION + 1), VERSION_AT)


def is_older(monkeypatch: pytest.MonkeyPatch, files: dict[str, int]) -> None:
    monkeypatch.setattr(super_page, "LAYOUT_VERSION", LAYOUT_VERSION + 1)


def is_other_build(monkeypatch: pytest.MonkeyPatch, files: dict[str, int]) -> None:
    monkeypatch.setattr(super_page, "layout_hash", lambda: 0xABC)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (is_newer, rf"is of a newer release: layout {LAYOUT_VERSION + 1}, expected {LAYOUT_VERSION}"),
        (is_older, rf"is of an older release: layout {LAYOUT_VERSION}, expected {LAYOUT_VERSION + 1}"),
        (is_other_build, r"is of another build: layout hash 0x[0-9a-f]+, expected 0xabc"),
    ],
)  # fmt: skip
def test_another_layout_is_refused_and_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch, dict[str, int]], None],
    said: str,
) -> None:
    files = unpack(OF_THIS_RELEASE)
    change(monkeypatch, files)
    before = {name: contents(fd) for name, fd in files.items()}
    watched = {name: os.dup(fd) for name, fd in files.items()}
    with pytest.raises(KeeperRefused, match=rf"{said}.*to start without its pages, type `"):
        open_files(OF_THIS_RELEASE, files)
    assert {name: contents(fd) for name, fd in watched.items()} == before
    for fd in watched.values():
        os.close(fd)


def contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def test_this_release_has_an_image() -> None:
    assert OF_THIS_RELEASE in READABLE
    assert read_manifest(OF_THIS_RELEASE)["release"] == __version__


def test_images_are_small() -> None:
    assert all(path.stat().st_size <= IMAGE_BYTES_MAX for path in ALL)


def test_what_makes_an_image_still_works(tmp_path: Path) -> None:
    path = tmp_path / "now.zip"
    make_image(path)
    with attached(path) as (_, store, of):
        assert len(of["pages"]) == len(read_manifest(OF_THIS_RELEASE)["pages"])
        for page in of["pages"]:
            check_page(store, page)
