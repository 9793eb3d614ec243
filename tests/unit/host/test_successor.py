"""Descriptors arranged for the next program: any of them, anywhere, with hardly one to spare."""

import os
import random
import resource
import subprocess
import sys

import pytest

from ramsterd.host.successor import arrange, command_line
from tests.helpers.descriptors import first_free_descriptor


def content(fd: int) -> bytes:
    return os.pread(fd, 99, 0)


def made(number: int, at: int) -> int:
    fd = os.memfd_create("test")
    os.write(fd, b"%d" % number)
    os.dup2(fd, at, inheritable=False)
    os.close(fd)
    return at


def test_any_order_and_overlap_comes_out_right(seed: int) -> None:
    rng = random.Random(seed)
    first = first_free_descriptor()
    for _ in range(20):
        count = rng.randint(1, 12)
        places = rng.sample(range(first - 3, first + 2 * count), count)
        fds = [made(number, place) for number, place in enumerate(places)]
        arrange(fds, first=first)
        for number in range(count):
            assert content(first + number) == b"%d" % number
            assert os.get_inheritable(first + number)
        for place in places:
            if not first <= place < first + count:
                with pytest.raises(OSError, match="Bad file"):
                    os.fstat(place)
        os.closerange(first, first + count)


def test_one_more_descriptor_is_enough() -> None:
    """In a process of its own: the limit is that of all descriptors."""
    script = """
import os, resource
from ramsterd.host.successor import arrange
fds = [os.memfd_create("t") for _ in range(20)]
for number, fd in enumerate(fds):
    os.write(fd, b"%d" % number)
fds.reverse()
resource.setrlimit(resource.RLIMIT_NOFILE, (max(fds) + 2, max(fds) + 2))
arrange(fds)
for place in range(20):
    assert os.pread(3 + place, 9, 0) == b"%d" % (19 - place)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 23  # only that process has so few


def test_a_command_line_is_that_of_this_installation_without_options_of_one_start() -> None:
    own = ["python3", "-P", "/opt/ramster/bin/ramsterd", "run", "--config", "x", "--discard-memory"]
    expected = [sys.executable, "-P", "/opt/ramster/bin/ramsterd", "check-config", "--config", "y"]
    assert command_line("check-config", "--config", "y", own=own) == expected
    assert command_line("run", own=["python", "-m", "ramsterd"])[1:] == ["-m", "ramsterd", "run"]
    assert command_line("run")[0] == sys.executable
