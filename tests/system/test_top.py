"""`ramsterctl top` on a terminal of its own, and where there is none."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.programs import RAMSTERCTL, Program, environment, heed_interrupts, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import Node, wait_until
from tests.system.fill import fill_runs

END_SECONDS_MAX = 10.0


class Terminal:
    """80 by 24, with a program on it."""

    def __init__(self, node: Node, *options: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        os.set_blocking(self._master, False)
        self.process = Program(
            [*RAMSTERCTL, "--socket", str(node.control), "top", *options],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=heed_interrupts,
            env=environment() | {"TERM": "xterm-256color"},
        )  # fmt: skip
        self.said = ""

    def read(self) -> str:
        """Return all that it has written, without what colours it."""
        try:
            while data := os.read(self._master, 1 << 16):
                self.said += data.decode(errors="replace")
        except BlockingIOError:
            pass
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.said)

    def wait_said(self, text: str) -> None:
        wait_until(lambda: text in self.read(), f"top shows {text}", seconds_max=30.0)

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def state(self) -> list[object]:
        return list(termios.tcgetattr(self._slave))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def top_of(node: Node, *options: str) -> Iterator[Terminal]:
    terminal = Terminal(node, *options)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.slow
def test_a_terminal_shows_a_cluster_until_q_and_is_as_it_was_before(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["24MiB", "64MiB"])
    cluster.start()
    with top_of(cluster[1]) as terminal:
        terminal.wait_said("test / n1")
        terminal.wait_said("n1 (here)")
        terminal.wait_said("EVENTS")
        fill_runs(cluster[1], 100)
        wait_until(lambda: re.search(r"write/s [1-9]", terminal.read()), "a rate", seconds_max=30.0)
        terminal.press("x")
        terminal.press("t")
        cluster[2].kill()
        terminal.wait_said("NODE_DOWN")
        # The daemon goes: the picture stays, and says so.
        cluster[1].stop()
        terminal.wait_said("OLD, of")
        terminal.press("q")
        assert terminal.process.wait(END_SECONDS_MAX) == 0
        assert terminal.state() == list(terminal.before)


@pytest.mark.slow
def test_a_terminal_shows_all_members_and_what_becomes_of_them(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["24MiB", "64MiB", "64MiB"])
    cluster.start()
    with top_of(cluster[1], "--cluster") as terminal:
        terminal.wait_said("cluster test   3 members, asked through n1")
        terminal.wait_said("n3           ")
        terminal.press("n")
        fill_runs(cluster[1], 100)
        wait_until(lambda: re.search(r"write/s [1-9]", terminal.read()), "a rate", seconds_max=30.0)
        cluster[3].kill()
        terminal.wait_said("1 silent")
        terminal.wait_said("n3           silent ")
        cluster[1].stop()
        terminal.wait_said("OLD, of")
        terminal.press("q")
        assert terminal.process.wait(END_SECONDS_MAX) == 0
        assert terminal.state() == list(terminal.before)


@pytest.mark.slow
def test_without_a_terminal_one_screen_is_printed_and_ctrl_c_ends_one(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["24MiB"])
    cluster.start()
    done = run_program(
        [*RAMSTERCTL, "--socket", str(cluster[1].control), "top"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        env=environment() | {"COLUMNS": "80"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[0].startswith("test / n1")
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    assert "\x1b" not in done.stdout
    with top_of(cluster[1]) as terminal:
        terminal.wait_said("test / n1")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(END_SECONDS_MAX) == 0
        assert terminal.state() == list(terminal.before)


def test_where_no_daemon_answers_it_says_so(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["24MiB"])
    done = run_program(
        [*RAMSTERCTL, "--socket", str(cluster[1].control), "top", "--once"],
        capture_output=True, text=True, check=False, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no daemon answers" in done.stderr
