"""What is read of a machine, from a root folder of its own: running, and before the first start."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from config.model import MemoryConfig
from ramsterd.attach.lock import HelperLock
from ramsterd.attach.words import identifier_of
from ramsterd.doctor import machine, proc_texts
from ramsterd.doctor.daemon import NoAnswer, NotRunning
from ramsterd.doctor.facts import Facts, Level, Neighbour
from ramsterd.doctor.judge import judge
from ramsterd.doctor.units import properties_of
from tests.helpers.clusters import cluster_of
from tests.helpers.doctor_facts import GIB, MIB, daemon_config, found

MOUNTS = "35 31 0:41 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "36 31 0:42 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 65536                files
Max locked memory         {memlock}            {memlock}            bytes
"""
UNIT = """\
Id=ramsterd.service
LoadState=loaded
Slice=ramster.slice
User=ramster
LimitMEMLOCK=infinity
LimitNOFILE=65536
OOMScoreAdjust=-1000
AmbientCapabilities=cap_ipc_lock cap_sys_resource
FileDescriptorStoreMax=4111
MemoryMin=0
MemoryMax=infinity
MemorySwapMax=0
"""
SLICE = "Id=ramster.slice\nLoadState=loaded\nMemoryMin=0\nMemoryMax=1073741824\nMemorySwapMax=0\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_process(
    root: Path, pid: str, *, cgroup: str, flags: int = 0, locked: int = 0, score: int = 0
) -> None:
    folder = root / "proc" / pid
    write(folder / "cgroup", f"0::{cgroup}\n")
    write(folder / "limits", LIMITS.format(memlock="unlimited" if locked else "8388608"))
    write(folder / "status", f"VmLck:\t{locked} kB\nVmRSS:\t1000 kB\nCapEff:\t0000000000000000\n")
    write(folder / "oom_score_adj", f"{score}\n")
    for thread in (pid, f"{pid}1"):
        write(folder / "task" / thread / "stat", f"{pid} (ramsterd) S 1 1 1 0 -1 {flags} 0 0\n")


def add_group(root: Path, name: str, **files: str) -> None:
    for file, text in ({"memory_current": "4096"} | files).items():
        write(root / "sys/fs/cgroup" / name / file.replace("_", "."), f"{text}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a machine of 8 GiB with systemd's slices, where this command runs in a session."""
    root = tmp_path / "root"
    write(root / "proc/meminfo", f"MemTotal:       {8 << 20} kB\n")
    write(root / "proc/self/mountinfo", MOUNTS)
    write(root / "proc/sys/vm/min_free_kbytes", "16384\n")
    write(root / "proc/sys/vm/watermark_boost_factor", "15000\n")
    write(root / "proc/pressure/memory", "full avg10=0.00 avg60=0.00 avg300=12.50 total=1\n")
    (root / "sys/module/nbd").mkdir(parents=True)
    add_process(root, "self", cgroup="/user.slice/session-1.scope")
    add_group(root, "init.scope", memory_max="max", memory_high="max")
    add_group(root, "system.slice", memory_max="2147483648", memory_high="max")
    add_group(root, "user.slice", memory_max="max", memory_high="max", memory_min="0")
    add_group(root, "user.slice/session-1.scope", memory_max="max", memory_min="0")
    return root


def survey(root: Path, *, show: machine.Show | None = None, control: Path | None = None) -> Facts:
    return machine.survey(
        daemon_config(memory=MemoryConfig(budget=512 * MIB)),
        cluster_of(3),
        file="/etc/ramster/ramsterd.toml",
        control=control,
        wants_own_swap=True,
        root=root,
        show=show or (lambda _: []),
    )


def systemd(names: Iterable[str]) -> list[dict[str, str]]:
    texts = {"ramsterd.service": UNIT, "ramster.slice": SLICE}
    return [properties_of(texts[name]) for name in names]


def test_without_a_unit_a_start_has_what_this_shell_has(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_lock_limit", lambda _: 8 * MIB)
    facts = survey(root)
    assert (facts.running, facts.unit, facts.start.lock_limit_bytes) == (None, "", 8 * MIB)
    assert facts.start.descriptors_max == 65536
    assert not facts.start.has_resource_right
    assert [level.name for level in facts.groups.levels] == [
        "/user.slice/session-1.scope",
        "/user.slice",
    ]
    assert facts.groups.sees_all


def test_before_the_first_start_the_unit_and_its_slice_count(root: Path) -> None:
    facts = survey(root, show=systemd)
    assert (facts.unit, facts.start.oom_score_adj) == ("ramsterd.service", -1000)
    assert facts.groups.levels[0] == Level(
        name="/ramster.slice/ramsterd.service",
        folder="/sys/fs/cgroup/ramster.slice/ramsterd.service",
        protected_bytes=0,
        swap_bytes_max=0,
    )
    bounds = {bound.name: bound.limit_bytes for bound in facts.groups.bounds}
    assert bounds == {"the memory of this machine": 8 * GIB, "MemoryMax= of ramster.slice": GIB}
    assert Neighbour(
        name="/system.slice",
        folder="/sys/fs/cgroup/system.slice",
        used_bytes=4096,
        bytes_max=2 * GIB,
    ) in (facts.groups.neighbours)
    findings = judge(facts, for_swap=True)
    assert found(findings, "memory-lock").found == "ramsterd.service lets ramsterd lock its memory"
    assert found(findings, "memory-min").fix.startswith("systemctl set-property ramster.slice")
    assert "/user.slice" in found(findings, "others-bounded").found
    assert "12.5 %" in found(findings, "pressure").found


def test_a_unit_that_is_not_installed_counts_for_nothing(root: Path) -> None:
    facts = survey(root, show=lambda _: [{"Id": "ramsterd.service", "LoadState": "not-found"}])
    assert facts.unit == ""


def test_the_kernel_is_read(root: Path) -> None:
    kernel = machine.read_kernel(root)
    assert (kernel.memory_bytes, kernel.min_free_bytes) == (8 * GIB, 16 * MIB)
    assert kernel.watermark_boost == 15000
    assert (kernel.has_nbd, kernel.stalled_percent) == (True, 12.5)
    bare = machine.read_kernel(root / "none")
    assert (bare.memory_bytes, bare.min_free_bytes) == (0, 0)
    assert (bare.has_nbd, bare.stalled_percent) == (False, None)


STATUS = {
    "version": "0.1.0",
    "engine": {
        "store": {
            "zbud": {"budget_bytes": 512 * MIB},
            "reserve": {
                "wanted_bytes": 32 * MIB,
                "resident_bytes": 30 * MIB,
                "is_short": False,
            },
        }
    },
    "memory": {"keeper": "systemd"},
    "protection": {
        "is_locked": True,
        "locked_bytes": GIB,
        "oom_score_adj": -1000,
        "is_io_flusher": True,
    },
    "descriptors": {"limit": 1000},
}


def test_of_a_running_daemon_its_process_and_its_cgroup_count(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ask_status", lambda _: (STATUS, 4711))
    add_process(
        root,
        "4711",
        cgroup="/ramster.slice/ramsterd.service",
        flags=proc_texts.IO_FLUSHER,
        locked=4000,
        score=-1000,
    )
    add_group(root, "ramster.slice", memory_min="max", memory_swap_max="0")
    limits = {"memory_min": "1073741824", "memory_swap_max": "0", "memory_max": "4294967296"}
    add_group(root, "ramster.slice/ramsterd.service", **limits)
    facts = survey(root, control=Path("/c"), show=lambda _: pytest.fail("systemctl is not asked"))
    assert facts.running is not None
    assert facts.running.process.is_io_flusher
    assert facts.unit == "ramsterd.service"
    assert [level.protected_bytes >= GIB for level in facts.groups.levels] == [True, True]
    findings = judge(facts, for_swap=True)
    assert found(findings, "reserve").found == "30 MiB of 32 MiB are ready for a burst"
    wrong = {finding.check for finding in findings if finding.fix}
    assert wrong == {"min-free", "watermark-boost", "others-bounded", "helper-units", "pressure"}


@pytest.mark.parametrize(("error", "words"), [(NotRunning(), ""), (NoAnswer("/c: no"), "/c: no")])
def test_a_daemon_that_does_not_run_is_none_and_one_that_is_silent_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def ask(_: Path) -> None:
        raise error

    monkeypatch.setattr(machine, "ask_status", ask)
    facts = survey(root, control=Path("/c"))
    assert (facts.running, facts.no_answer) == (None, words)


def test_an_answer_of_another_program_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ask_status", lambda _: ({"version": "9"}, 1))
    assert "does not tell" in survey(root, control=Path("/c")).no_answer


def test_a_daemon_that_can_not_be_seen_is_taken_at_its_word(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (0, 999):
        monkeypatch.setattr(machine, "ask_status", lambda _, pid=pid: (STATUS, pid))
        running = survey(root, control=Path("/c")).running
        assert running is not None
        assert not running.process.is_seen
        assert running.process.is_locked
        assert (running.process.oom_score_adj, running.process.descriptors_max) == (-1000, 1000)


@pytest.fixture
def devices(root: Path) -> Iterator[Path]:
    """Yield a machine with nbd0, which is ours and swap, nbd1 of others, and nbd2, which is free."""
    backends = {0: identifier_of("swap0", "/run/ramster/nbd.sock"), 1: "", 2: ""}
    for index, backend in backends.items():
        folder = root / "sys/block" / f"nbd{index}"
        write(folder / "size", "0\n" if index == 2 else "2048\n")
        write(folder / "backend", f"{backend}\n")
    swaps = (
        "Filename Type Size Used Priority\n/dev/nbd0 partition 1 0 10\n/dev/sda2 partition 1 0 -2\n"
    )
    write(root / "proc/swaps", swaps)
    add_process(root, str(os.getpid()), cgroup="/", locked=4000, score=-1000)
    (root / "run").mkdir()
    # The lock belongs to this process, which is the helper here.
    with HelperLock("nbd0", root / "run/ramster-nbd"):
        yield root


def test_devices_are_those_that_are_attached_with_who_keeps_them(devices: Path) -> None:
    first, second = survey(devices).devices
    assert (first.name, first.export, first.is_ours, first.is_swap) == ("nbd0", "swap0", True, True)
    assert first.helper is not None
    assert (first.helper.pid, first.helper.oom_score_adj) == (os.getpid(), -1000)
    assert (second.name, second.export, second.is_ours, second.is_swap) == (
        "nbd1",
        "",
        False,
        False,
    )
    assert second.helper is None


def test_units_that_are_installed_are_found(root: Path) -> None:
    assert survey(root).unit_files == frozenset()
    write(root / "usr/lib/systemd/system/ramster-nbd@.service", "")
    write(root / "etc/systemd/system/ramster-swap@.service", "")
    assert survey(root).unit_files == {"ramster-nbd@.service", "ramster-swap@.service"}


@pytest.mark.parametrize(
    ("mounts", "cgroup", "version"),
    [
        (V1, "4:memory:/a\n", 1),
        (
            V1 + "37 31 0:43 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "4:memory:/a\n0::/\n",
            1,
        ),
        ("", "", 0),
    ],
    ids=["version 1", "hybrid", "none"],
)
def test_cgroups_of_version_1_protect_nothing(
    root: Path, mounts: str, cgroup: str, version: int
) -> None:
    write(root / "proc/self/mountinfo", mounts)
    write(root / "proc/self/cgroup", cgroup)
    assert survey(root).groups.version == version
    assert survey(root, show=systemd).groups.version == version
    assert survey(root).groups.levels == ()


def test_in_a_container_others_can_not_be_seen(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/memory.min", "0\n")
    groups = survey(root).groups
    assert [level.name for level in groups.levels] == ["/"]
    assert not groups.sees_all
    assert groups.neighbours == ()


def test_systemctl_is_asked_and_its_absence_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(
        '#!/bin/sh\nfor name; do :; done\nprintf "Id=a\\nLoadState=loaded\\n\\nId=$name\\n"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.show_units(["a", "b"]) == [{"Id": "a", "LoadState": "loaded"}, {"Id": "b"}]
    assert machine.show_units([]) == []
    program.write_text("#!/bin/sh\nexit 1\n")
    assert machine.show_units(["a"]) == []
    program.write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(machine, "SYSTEMCTL_SECONDS_MAX", 0.05)
    assert machine.show_units(["a"]) == []
