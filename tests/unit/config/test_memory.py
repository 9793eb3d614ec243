"""What bounds the memory of a process: the machine, and each cgroup above it, of both versions, under fake roots."""

import resource
from pathlib import Path

import pytest

from config.host import read_lock_limit, read_memory
from config.memory import MemoryBound, tightest
from config.units import UNIT_BYTES

MIB = UNIT_BYTES["MiB"]
V2 = "35 31 0:41 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "36 31 0:42 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
OTHER = "37 31 0:43 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
# What the kernel shows where nothing is set (PAGE_COUNTER_MAX pages).
NO_LIMIT = "9223372036854771712"


def fake_root(
    root: Path, *, mounts: str, cgroups: str, files: dict[str, str], ram_kib: int = 8 * 1024 * 1024
) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal:       {ram_kib} kB\nMemFree:         1024 kB\n")
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "proc/self/cgroup").write_text(cgroups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def shown(root: Path) -> list[tuple[str, int, bool]]:
    return [(bound.name, bound.limit_bytes // MIB, bound.is_fatal) for bound in read_memory(root)]


MACHINE = ("the memory of this machine", 8192, False)


def test_a_machine_without_cgroups_has_its_memory(tmp_path: Path) -> None:
    assert shown(fake_root(tmp_path, mounts="", cgroups="", files={})) == [MACHINE]


def test_this_machine_has_memory() -> None:
    assert 1 << 26 < tightest(read_memory()).limit_bytes < 1 << 50


def test_each_cgroup_above_ours_counts_in_version_2(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts=OTHER + V2,
        cgroups="0::/system.slice/ramsterd.service\n",
        files={
            "system.slice/memory.max": str(300 * MIB),
            "system.slice/memory.high": "max",
            "system.slice/ramsterd.service/memory.max": "max",
            "system.slice/ramsterd.service/memory.high": str(200 * MIB),
            "system.slice/other.service/memory.max": str(1 * MIB),
        },
    )
    assert shown(root) == [
        MACHINE,
        ("memory.high of cgroup /system.slice/ramsterd.service", 200, False),
        ("memory.max of cgroup /system.slice", 300, True),
    ]
    assert tightest(read_memory(root)).limit_bytes == 200 * MIB


def test_each_cgroup_above_ours_counts_in_version_1(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts=OTHER + V1,
        cgroups="5:cpu:/elsewhere\n4:memory,hugetlb:/a/b\n1:name=systemd:/\n",
        files={
            "memory/memory.limit_in_bytes": NO_LIMIT,
            "memory/a/memory.limit_in_bytes": str(100 * MIB),
            "memory/a/b/memory.limit_in_bytes": NO_LIMIT,
        },
    )
    assert shown(root) == [MACHINE, ("memory.limit_in_bytes of cgroup /a", 100, True)]


def test_both_versions_may_be_there_and_the_tighter_one_counts(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts=V1 + V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "),
        cgroups="4:memory:/a\n0::/b\n",
        files={
            "memory/a/memory.limit_in_bytes": str(100 * MIB),
            "unified/b/memory.max": str(90 * MIB),
        },
    )
    assert [name for name, _, _ in shown(root)][1:] == [
        "memory.limit_in_bytes of cgroup /a",
        "memory.max of cgroup /b",
    ]


@pytest.mark.parametrize(
    ("mount_root", "cgroup"),
    [
        # A container that sees the path of the host, of which only its own part is mounted.
        ("/docker/0a1b", "/docker/0a1b/inner"),
        # A cgroup namespace shows its own root as /.
        ("/", "/inner"),
    ],
)
def test_a_container_sees_its_own_limit(tmp_path: Path, mount_root: str, cgroup: str) -> None:
    root = fake_root(
        tmp_path,
        mounts=V2.replace(" / ", f" {mount_root} "),
        cgroups=f"0::{cgroup}\n",
        files={"memory.max": str(100 * MIB), "inner/memory.max": str(200 * MIB)},
    )
    assert tightest(read_memory(root)).limit_bytes == 100 * MIB
    assert len(read_memory(root)) == 3


@pytest.mark.parametrize("cgroup", ["/../other", "/elsewhere"])
def test_a_cgroup_outside_what_is_mounted_has_the_limits_of_the_mount(
    tmp_path: Path, cgroup: str
) -> None:
    root = fake_root(
        tmp_path,
        mounts=V2.replace(" / ", " /docker/0a1b "),
        cgroups=f"0::{cgroup}\n",
        files={"memory.max": str(100 * MIB), "other/memory.max": str(1 * MIB)},
    )
    assert shown(root) == [MACHINE, ("memory.max of cgroup /", 100, True)]


def test_files_that_make_no_sense_bound_nothing(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts="nonsense\n\n1 2 3\n" + V2 + "1 2 - cgroup2\n",
        cgroups="\nnonsense\n0::/a\n",
        files={"a/memory.max": "lots", "a/memory.high": "-5", "memory.max": ""},
    )
    assert shown(root) == [MACHINE]
    assert shown(root / "empty") == []


def test_a_mount_point_with_a_blank_in_its_name_is_found(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts=V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/my\\040own"),
        cgroups="0::/\n",
        files={"my own/memory.max": str(64 * MIB)},
    )
    assert tightest(read_memory(root)).limit_bytes == 64 * MIB


def test_the_tightest_of_equals_is_the_one_that_ends_the_process() -> None:
    soft = MemoryBound(limit_bytes=5, name="soft")
    fatal = MemoryBound(limit_bytes=5, name="fatal", is_fatal=True)
    assert tightest((soft, fatal)) is fatal
    assert tightest((fatal, soft)) is fatal


def test_who_may_lock_memory_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hard limit counts: a process raises its soft limit to that by itself."""
    (tmp_path / "proc/self").mkdir(parents=True)
    status = tmp_path / "proc/self/status"
    limits = {"hard": 8 * MIB}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (MIB, limits["hard"]))
    assert read_lock_limit(tmp_path) == 8 * MIB, "nobody says what this process may"
    status.write_text("Name:\tpython\nCapEff:\t0000000000003fff\n")
    assert read_lock_limit(tmp_path) == 8 * MIB
    status.write_text("Name:\tpython\nCapEff:\t0000000000004000\n")
    assert read_lock_limit(tmp_path) is None
    status.unlink()
    limits["hard"] = resource.RLIM_INFINITY
    assert read_lock_limit(tmp_path) is None


def test_the_memory_of_another_process_has_its_own_bounds(tmp_path: Path) -> None:
    root = fake_root(
        tmp_path,
        mounts=V2,
        cgroups="0::/user.slice\n",
        files={"user.slice/memory.max": str(MIB), "a.slice/memory.max": str(2 * MIB)},
    )
    (root / "proc/4711").mkdir()
    (root / "proc/4711/cgroup").write_text("0::/a.slice\n")
    found = [(bound.name, bound.limit_bytes) for bound in read_memory(root, "4711")]
    assert found == [(MACHINE[0], 8192 * MIB), ("memory.max of cgroup /a.slice", 2 * MIB)]
