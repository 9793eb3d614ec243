"""A real daemon protects itself from a shortage of memory as far as it may, and says what it may not."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ramsterd.core.arena import FileMapping
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.requirements import require_root, require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, ROOT, Node, wait_until

SHM: Final = Path("/dev/shm")
# <linux/capability.h>, <linux/sched.h>
CAP_SYS_RESOURCE: Final = 24
PF_MEMALLOC_NOIO: Final = 0x00080000
PF_LOCAL_THROTTLE: Final = 0x00100000
IO_FLUSHER: Final = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE
# Not even root may lock more.
FEW_LOCKED: Final = (
    "setpriv", "--bounding-set=-ipc_lock",
    "sh", "-c", 'ulimit -l 8192; exec "$0" "$@"',
)  # fmt: skip
LIMITED: Final = "and at most 8 MiB may be locked (RLIMIT_MEMLOCK), expected no limit"
REMEDY: Final = (
    "set LimitMEMLOCK=infinity in the unit, or type `ulimit -l unlimited` as root before ramsterd"
)


def change(node: Node, *, lock: str = "auto", swap: bool = False, keep: str = "no") -> None:
    text = node.config.read_text()
    text = text.replace("[memory]\n", f'[memory]\nlock = "{lock}"\nkeep = "{keep}"\n')
    if swap:
        text = text.replace("[[export]]\n", "[[export]]\nswap = true\n")
    node.config.write_text(text)


def kibibytes(node: Node, name: str) -> int:
    """Return a number of /proc/PID/status."""
    text = Path(f"/proc/{node.pid}/status").read_text()
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found)


def flags_of_threads(node: Node) -> dict[str, int]:
    """Return the kernel's flags of each thread, by its name (field 9 of proc(5), stat)."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{node.pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        found[f"{task.name} {name}"] = int(rest.split()[6])
    return found


def may_be_io_flusher() -> bool:
    (found,) = re.findall(r"^CapEff:\s+(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(int(found, 16) >> CAP_SYS_RESOURCE & 1)


def check_all_is_had(node: Node) -> None:
    """All that root has in this place, read back from the kernel and from the daemon alike."""
    protection = node.status()["protection"]
    assert protection["is_locked"]
    assert protection["lock_limit_bytes"] is None
    assert protection["spare_heap_bytes"] == 20 * MIB
    # Mappings count whole, and only what is used of them is there.
    assert kibibytes(node, "VmLck") * 1024 >= protection["locked_bytes"] > 1024 * MIB
    assert kibibytes(node, "VmRSS") * 1024 < 160 * MIB
    threads = flags_of_threads(node)
    assert len(threads) >= 4, "the loop, the log, and two that wait for work"
    is_flusher = may_be_io_flusher()
    assert protection["is_io_flusher"] is is_flusher
    assert {flags & IO_FLUSHER for flags in threads.values()} == {IO_FLUSHER if is_flusher else 0}
    score = Path(f"/proc/{node.pid}/oom_score_adj").read_text().strip()
    assert protection["oom_score_adj"] == int(score)
    assert (int(score) == -1000) is is_flusher, "the same capability"


@pytest.fixture
def node(new_cluster: NewCluster) -> Node:
    cluster = new_cluster(budgets=["16MiB"])
    cluster.measure_processes()
    return cluster[1]


def test_a_daemon_that_serves_swap_is_protected_and_its_next_program_is_too(node: Node) -> None:
    require_root()
    change(node, swap=True)
    node.start()
    node.wait_ready()
    check_all_is_had(node)
    assert "all memory of this daemon is locked" in node.log
    with node.client() as client:
        client.write(0, b"x" * 4096)
    begun = len(node.log)
    done = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), "restart"],
        capture_output=True, check=False, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done
    wait_until(lambda: "is ready" in node.log[begun:], "the next program is ready")
    node.wait_ready()
    check_all_is_had(node)
    with node.client() as client:
        assert client.read(0, 4096) == b"x" * 4096


def test_a_daemon_without_swap_locks_its_memory_and_has_no_more_of_it(node: Node) -> None:
    require_root()
    change(node)
    node.start()
    node.wait_ready()
    protection = node.status()["protection"]
    assert (protection["is_locked"], protection["spare_heap_bytes"]) == (True, 0)
    assert not protection["is_io_flusher"]
    assert kibibytes(node, "VmLck") > 1 << 20
    assert {flags & IO_FLUSHER for flags in flags_of_threads(node).values()} == {0}


def start_limited(node: Node, **options: Any) -> str:
    """Start where little may be locked; return the log of that start."""
    require_tool("setpriv")
    change(node, **options)
    node.prefix = FEW_LOCKED
    node.start()
    node.wait_ready()
    assert kibibytes(node, "VmLck") == 0
    protection = node.status()["protection"]
    assert (protection["is_locked"], protection["lock_limit_bytes"]) == (False, 8 * MIB)
    return node.log


def test_a_limit_is_a_warning_where_an_export_is_for_swap(node: Node) -> None:
    require_root()
    log = start_limited(node, swap=True)
    (warning,) = re.findall(r"WARNING +(ramster.daemon: .*memory.lock.*)", log)
    assert warning == (
        f"ramster.daemon: {node.config}: memory.lock: found 'auto', {LIMITED} for an export with swap = true, or the"
        f" kernel may move memory of ramsterd to swap: {REMEDY}"
    )


def test_a_limit_is_told_without_swap(node: Node) -> None:
    require_root()
    log = start_limited(node)
    assert "WARNING" not in log.replace("links are plaintext", ""), log
    assert (
        "INFO    ramster.memory: the memory of this daemon is not locked, because it may lock 8 MiB at most"
        " (RLIMIT_MEMLOCK)"
    ) in log


def test_a_limit_is_nothing_where_memory_is_not_to_be_locked(node: Node) -> None:
    require_root()
    log = start_limited(node, lock="no", swap=True)
    assert "memory.lock" not in log
    assert "is not locked" not in log


def test_a_limit_ends_the_start_where_memory_must_be_locked(node: Node) -> None:
    require_root()
    require_tool("setpriv")
    change(node, lock="yes", swap=True)
    node.prefix = FEW_LOCKED
    node.start()
    assert node.wait_end() == 78
    assert node.log == f"ramsterd: {node.config}: memory.lock: found 'yes', {LIMITED}: {REMEDY}\n"
    node.prefix = ()
    node.start()
    node.wait_ready()
    assert node.status()["protection"]["is_locked"]


@pytest.fixture
def kept_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ramster-", dir=SHM) as folder:
        yield Path(folder) / "kept"


def locked_kibibytes(node: Node, file: str) -> tuple[int, int]:
    """Return what is mapped of a file, and what of that is locked (smaps of proc(5))."""
    resident = locked = 0
    is_it = False
    for line in Path(f"/proc/{node.pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_it = words[-1].endswith(file)
        elif is_it and words[0] == "Rss:":
            resident += int(words[1])
        elif is_it and words[0] == "Locked:":
            locked += int(words[1])
    return resident, locked


@pytest.mark.slow
def test_a_daemon_that_serves_swap_takes_no_more_memory_than_at_its_start() -> None:
    """Seconds of what `make pressure` does for an hour; a peer is killed in the last of its minutes."""
    require_tool("fio")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.pressure", "--minutes", "3", "--seconds", "1"],
        capture_output=True, check=False, cwd=ROOT, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "all of it held" in done.stdout


def written_bytes(file: Path) -> int:
    """Return how much of a file has been written; frames that are only reserved are no part of it."""
    fd = os.open(file, os.O_RDWR)
    return sum(
        stop - start
        for start, stop in FileMapping(fd, "kept", file.stat().st_size).resident_spans()
    )


def test_memory_that_was_kept_is_locked_when_the_daemon_is_ready(
    node: Node, kept_folder: Path
) -> None:
    """Not with the first use of each page: nobody may use it for a long time."""
    require_root()
    change(node, keep=str(kept_folder))
    node.start()
    node.wait_ready()
    rng = random.Random(1)
    pages = b"".join(rng.randbytes(2048) + bytes(2048) for _ in range(1024))
    with node.client() as client:
        client.write(0, pages)
    node.send_signal(signal.SIGKILL)
    node.kill()
    node.start()
    node.wait_ready()
    resident, locked = locked_kibibytes(node, "/arena.memory")
    in_use = written_bytes(kept_folder / "arena.memory")
    assert (resident * 1024, locked * 1024) == (in_use, in_use)
    assert in_use > 2 * MIB
    assert sum(locked_kibibytes(node, "/rows.memory")) > 0
    with node.client() as client:
        assert client.read(0, len(pages)) == pages
