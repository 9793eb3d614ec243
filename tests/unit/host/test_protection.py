"""What protects a process, each in a process of its own: none of it can be taken back."""

import subprocess
import sys
from pathlib import Path

import pytest

from ramsterd.host.protection import spare_from_oom_killer
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


def test_all_memory_is_locked() -> None:
    require_root()
    said = run(
        "lock_memory()\n"
        "words = dict(line.split(':') for line in open('/proc/self/status'))\n"
        "print(words['VmLck'].split()[0], words['VmRSS'].split()[0])"
    )
    locked, resident = map(int, said.split())
    assert locked >= resident // 2 > 0


def test_what_may_not_be_locked_is_an_error() -> None:
    said = run(
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
        "os.geteuid() or os.setuid(65534)\n"
        "try: lock_memory()\n"
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
        "try: flush_io()\n"
        "except PermissionError: print('refused')\n"
        "else: print(_libc.prctl(58, 0, 0, 0, 0))"
    )
    assert said == ("1\n" if has_capability(CAP_SYS_RESOURCE) else "refused\n")


def test_the_oom_killer_takes_others_first(tmp_path: Path) -> None:
    path = tmp_path / "oom_score_adj"
    path.write_text("0\n")
    spare_from_oom_killer(path)
    assert path.read_text() == "-1000\n"
    path.chmod(0o400)
    spare_from_oom_killer(path)
    with pytest.raises(OSError, match="No such file"):
        spare_from_oom_killer(tmp_path / "none")
