"""The folder of [memory] keep, before a start uses it."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.facts import Machine, MemoryFolder, Place, PlaceType, User
from config.findings import Finding
from config.limits import KEPT_NAMES_BYTES
from config.memory_folder import judge_memory_folder
from config.model import DaemonConfig
from config.mounts import file_system_at
from config.reader import read_toml
from tests.helpers.config_texts import DAEMON

FILE = "/etc/ramster/ramsterd.toml"
MOUNT, FOLDER = Path("/mnt/pages"), Path("/mnt/pages/alpha")
RAMSTER = User(name="ramster", uid=990, groups=frozenset({990}))
TMPFS = MemoryFolder(file_system="tmpfs", free_bytes=1 << 40)
INSTALL = "`install -d -o ramster -m 700 /mnt/pages/alpha`"


def read(keep: str) -> DaemonConfig:
    more = f'[memory]\ntables_max = "64MiB"\nkeep = "{keep}"'
    text = DAEMON.replace("[memory]", more)
    return read_toml(text.encode(), DaemonConfig, file=FILE, folder=Path("/etc/ramster"))


def at(path: Path, kind: PlaceType = PlaceType.FOLDER, mode: int = 0o700, uid: int = 990) -> Place:
    return Place(path=path, type=kind, mode=mode, uid=uid, owner=f"u{uid}:g0")


def machine(folder: Place, *, mount: Place | None = None, found: MemoryFolder = TMPFS) -> Machine:
    way = (at(Path("/mnt"), mode=0o755, uid=0), mount or at(MOUNT), folder)
    return Machine(user=RAMSTER, ways={FOLDER: way}, memory_folder=found)


def judge(host: Machine, keep: str = str(FOLDER)) -> list[Finding]:
    return list(judge_memory_folder(read(keep), host, FILE))


def test_a_folder_of_our_own_on_a_tmpfs_is_right_and_so_is_one_that_can_be_made() -> None:
    assert judge(machine(at(FOLDER))) == []
    assert judge(machine(at(FOLDER, PlaceType.MISSING))) == []
    nobody_looks = replace(TMPFS, free_bytes=None)
    assert judge(machine(at(FOLDER, PlaceType.UNKNOWN), found=nobody_looks)) == []


def test_who_keeps_pages_otherwise_needs_none() -> None:
    assert judge(Machine(user=RAMSTER), "systemd") == []


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (machine(at(FOLDER, uid=0)), "folder /mnt/pages/alpha (u0:g0, mode 0700)"),
        (machine(at(FOLDER, mode=0o770)), "folder /mnt/pages/alpha (u990:g0, mode 0770)"),
        (machine(at(FOLDER, PlaceType.FILE)), "/mnt/pages/alpha, which is no folder"),
        (
            machine(at(FOLDER, PlaceType.MISSING), mount=at(MOUNT, mode=0o755, uid=0)),
            "folder /mnt/pages (u0:g0, mode 0755), which user ramster can't write to",
        ),
        (
            replace(machine(at(FOLDER)), ways={FOLDER: (at(MOUNT, PlaceType.MISSING),)}),
            "no folder /mnt/pages",
        ),
    ],
    ids=["of root", "open to a group", "a file", "not ours to make", "more is missing"],
)
def test_a_folder_that_can_not_be_used_is_an_error_with_what_to_type(
    host: Machine, found: str
) -> None:
    (finding,) = judge(host)
    assert (finding.key, finding.found, finding.is_error) == ("memory.keep", found, True)
    assert finding.expected.endswith(INSTALL)


def test_a_link_is_refused_as_the_start_refuses_it() -> None:
    (finding,) = judge(machine(at(FOLDER), found=replace(TMPFS, is_link=True)))
    assert (finding.found, finding.is_error) == ("/mnt/pages/alpha, which is a link", True)


def test_a_disk_is_no_memory() -> None:
    (finding,) = judge(machine(at(FOLDER), found=replace(TMPFS, file_system="ext4")))
    assert finding.is_error
    assert str(finding) == (
        "memory.keep: found /mnt/pages/alpha on ext4,"
        " expected a folder on a tmpfs: elsewhere pages are written to a disk"
    )


def test_budget_and_tables_must_fit() -> None:
    wanted = (8 << 20) + (64 << 20) + KEPT_NAMES_BYTES
    assert judge(machine(at(FOLDER), found=replace(TMPFS, free_bytes=wanted))) == []
    (finding,) = judge(machine(at(FOLDER), found=replace(TMPFS, free_bytes=wanted - 1)))
    assert finding.is_error
    assert finding.expected.startswith("room for 80 MiB, which budget and tables may take")


def test_a_folder_that_systemd_removes_at_each_stop_is_a_warning() -> None:
    folder = Path("/run/ramster/memory")
    host = Machine(
        user=RAMSTER,
        ways={folder: (at(folder),)},
        memory_folder=TMPFS,
        made_folders=frozenset({Path("/run/ramster")}),
    )
    (finding,) = judge(host, str(folder))
    assert not finding.is_error
    assert "RuntimeDirectory=" in finding.found
    assert judge(replace(host, made_folders=frozenset()), str(folder)) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc/x", "ext4"),
        ("/mnt/pages", "tmpfs"),
        ("/mnt/pages/alpha", "tmpfs"),
        ("/mnt/pages2", "ext4"),
        ("/mnt/covered/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_and_latest_mount(
    path: str, kind: str
) -> None:
    mounts = """\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:20 / /mnt/pages rw shared:1 - tmpfs tmpfs rw
23 21 8:2 / /mnt/covered rw - xfs /dev/sdb1 rw
24 23 0:21 / /mnt/covered rw - tmpfs tmpfs rw
and a line that is none
"""
    assert file_system_at(mounts, Path(path)) == kind
    assert file_system_at("", Path(path)) == ""


def test_memory_that_is_there_makes_a_lack_of_room_a_warning() -> None:
    full = replace(TMPFS, free_bytes=0, has_memory=True)
    (finding,) = judge(machine(at(FOLDER), found=full))
    assert not finding.is_error
    assert finding.expected.startswith("room for 80 MiB, which budget and tables may take")
