import fcntl
import os
from pathlib import Path

import pytest

from ramsterd.host.locks import find_flock, process_with_lock

LOCKS = """\
1: POSIX  ADVISORY  WRITE 11 08:02:131 0 EOF
2: -> FLOCK  ADVISORY  WRITE 22 08:02:131 0 EOF
3: FLOCK  ADVISORY  WRITE 33 08:02:131 0 EOF
4: FLOCK  ADVISORY  READ 0 fd:1a:99 0 EOF
5: short
"""


@pytest.mark.parametrize(
    ("device", "inode", "process"),
    [
        ((8, 2), 131, 33),
        ((8, 3), 131, None),
        # Of another pid namespace.
        ((0xFD, 0x1A), 99, None),
        ((8, 2), 13, None),
    ],
)
def test_the_holder_of_a_lock_is_told_from_those_that_wait(
    device: tuple[int, int], inode: int, process: int | None
) -> None:
    assert find_flock(LOCKS, major=device[0], minor=device[1], inode=inode) == process


def test_the_kernel_tells_who_has_a_lock(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as stream:
        assert process_with_lock(stream.fileno()) is None
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert process_with_lock(stream.fileno()) == os.getpid()
