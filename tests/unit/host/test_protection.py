"""What protects a process, each in a process of its own: none of it can be taken back."""

import errno
import subprocess
import sys
from ctypes import c_int, c_ulong
from pathlib import Path

import pytest

from ramsterd.host import protection
from ramsterd.host.protection import (
    MCL_ONFAULT,
    PR_SET_IO_FLUSHER,
    give_up_protection,
    is_io_flusher,
    lock_from_now_on,
    locked_bytes,
    oom_score_adj,
    set_io_flusher,
    spare_from_oom_killer,
)
from tests.helpers.requirements import require_root

# From linux/capability.h.
CAP_SYS_RESOURCE = 24


def run(body: str) -> str:
    program = f"from ramsterd.host.protection import *\n{body}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Of a mapping of 64 MiB of which one page is in use.
MAPPED = (
    "import mmap\n"
    "def words(): return dict(line.split(':') for line in open('/proc/self/status'))\n"
    "def kib(name): return int(words()[name].split()[0])\n"
    "def used(): m = mmap.mmap(-1, 64 << 20); m[0] = 1; return m\n"
)


def test_what_is_there_comes_into_memory_and_is_locked() -> None:
    require_root()
    said = run(f"{MAPPED}m = used()\nlock_program()\nprint(locked_bytes() >> 10, kib('VmRSS'))")
    locked, resident = map(int, said.split())
    assert resident > 64 << 10, "holes are filled"
    assert locked > 64 << 10


def test_what_comes_later_is_locked_and_costs_only_what_is_used() -> None:
    require_root()
    said = run(f"{MAPPED}lock_from_now_on()\nm = used()\nprint(kib('VmLck'), kib('VmRSS'))")
    locked, resident = map(int, said.split())
    assert locked > 64 << 10
    assert resident < 64 << 10


def test_locked_memory_can_be_unlocked() -> None:
    require_root()
    assert run("lock_from_now_on()\nunlock_memory()\nprint(locked_bytes())") == "0\n"


def test_an_older_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(flags: int) -> None:
        assert flags & MCL_ONFAULT
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(protection, "_lock", lock)
    with pytest.raises(OSError, match=r"Linux 4\.4 or newer"):
        lock_from_now_on()


def test_what_may_not_be_locked_is_an_error() -> None:
    said = run(
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
        "os.geteuid() or os.setuid(65534)\n"
        "try: lock_from_now_on()\n"
        "except OSError as error: print(error.strerror)"
    )
    assert said.strip() in {"Cannot allocate memory", "Operation not permitted"}


def has_capability(bit: int) -> bool:
    """Whether this process, and so its children, may do what a capability allows (capabilities(7))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = (line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> bit & 1)


def test_the_kernel_knows_that_io_waits_for_us_where_it_may_be_told() -> None:
    said = run(
        "print(is_io_flusher())\n"
        "try: set_io_flusher(is_one=True)\n"
        "except PermissionError: print('refused')\n"
        "print(is_io_flusher())\n"
        "give_up_protection()\n"
        "print(is_io_flusher())"
    )
    expected = (
        "False\nTrue\nFalse\n"
        if has_capability(CAP_SYS_RESOURCE)
        else "False\nrefused\nFalse\nFalse\n"
    )
    assert said == expected


class FakeKernel:
    """Takes prctl(2) as Linux does, where this machine does not let us call it."""

    def __init__(self) -> None:
        self.is_flusher = 0
        self.calls: list[tuple[int, ...]] = []

    def prctl(self, option: c_int, *arguments: c_ulong) -> int:
        self.calls.append((option.value, *(each.value for each in arguments)))
        if option.value == PR_SET_IO_FLUSHER:
            self.is_flusher = arguments[0].value
            return 0
        return self.is_flusher


def test_an_io_flusher_is_read_back_and_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel = FakeKernel()
    monkeypatch.setattr(protection, "_libc", kernel)
    set_io_flusher(is_one=True)
    assert is_io_flusher()
    give_up_protection(tmp_path / "no such process")
    assert not is_io_flusher()
    # The kernel refuses a call whose other arguments are not 0.
    assert {call[2:] for call in kernel.calls} == {(0, 0, 0)}


def test_the_oom_killer_takes_others_first(tmp_path: Path) -> None:
    path = tmp_path / "oom_score_adj"
    path.write_text("0\n")
    spare_from_oom_killer(path)
    assert path.read_text() == "-1000\n"
    path.chmod(0o400)
    spare_from_oom_killer(path)
    with pytest.raises(OSError, match="No such file"):
        spare_from_oom_killer(tmp_path / "none")


@pytest.mark.parametrize(("inherited", "left"), [(-1000, 0), (-17, 0), (0, 0), (300, 300)])
def test_a_child_may_be_ended_as_others(tmp_path: Path, inherited: int, left: int) -> None:
    path = tmp_path / "oom_score_adj"
    path.write_text(f"{inherited}\n")
    give_up_protection(path)
    assert oom_score_adj(path) == left


def test_no_locked_memory_is_read_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "status"
    path.write_text("VmPeak:\t  100 kB\n")
    assert locked_bytes(path) == 0
    path.write_text("VmPeak:\t  100 kB\nVmLck:\t      12 kB\n")
    assert locked_bytes(path) == 12 * 1024
