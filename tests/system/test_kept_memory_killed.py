"""A daemon that is killed often: only starts that never came to serve count against its memory."""

import signal
import time
from pathlib import Path

import pytest

from ramsterd.cli.output import EX_CONFIG
from ramsterd.client.nbd import HandshakeFailed
from ramsterd.kept import super_page
from ramsterd.kept.super_page import ATTEMPTS_MAX, Live
from tests.helpers.kept_folders import keep_in, kept_folder
from tests.helpers.programs import changed_by
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Node, wait_until
from tests.system.fill import check_runs, fill_runs

RUNS = 8


def test_a_daemon_that_is_killed_often_keeps_its_pages_if_it_served_each_time(
    new_cluster: NewCluster,
) -> None:
    node = new_cluster(budgets=["16MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        runs = fill_runs(node, RUNS)
        for attaches in range(1, ATTEMPTS_MAX + 2):
            node.kill()
            node.start()
            node.wait_ready()
            memory = node.status()["memory"]
            assert (memory["given_up"], memory["attaches"]) == ("", attaches)
            wait_until(lambda: not node.status()["memory"]["attempts"], "the memory is vouched for")
        check_runs(node, runs)


def live(folder: Path) -> Live:
    """Return how the memory of a daemon stands, also while another process is at work on it."""
    page = memoryview((folder / "super.memory").read_bytes())
    return super_page._read_live(page)[0]


def begin_to_take_up(node: Node, folder: Path) -> None:
    """Start it; return when it has begun to take its memory up."""
    attaches = live(folder).attaches
    node.start()
    deadline = time.perf_counter() + 20
    while (
        live(folder).attaches == attaches
    ):  # no sleep: that would be longer than what is waited for
        assert time.perf_counter() < deadline, node.log


def start_and_kill(node: Node, folder: Path, *, seconds: float = 0.0) -> None:
    """Kill a start a moment after it has begun to take its memory up."""
    begin_to_take_up(node, folder)
    if seconds:
        time.sleep(seconds)
    node.kill()


@pytest.mark.slow
def test_starts_that_are_killed_as_they_take_their_memory_up_lose_nothing(
    new_cluster: NewCluster,
) -> None:
    node = new_cluster(budgets=["32MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        runs = fill_runs(node, 8 * RUNS)
        for step in range(4):
            node.kill()
            for more in range(ATTEMPTS_MAX - 1):
                start_and_kill(node, folder, seconds=0.01 * step + 0.003 * more)
            node.start()
            node.wait_ready()
            assert not node.status()["memory"]["given_up"]
            check_runs(node, runs)
            wait_until(lambda: not node.status()["memory"]["attempts"], "the memory is vouched for")


def test_three_starts_that_were_killed_as_they_took_their_memory_up_are_the_last(
    new_cluster: NewCluster,
) -> None:
    node = new_cluster(budgets=["32MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        fill_runs(node, 8 * RUNS)
        node.kill()
        for attempts in range(1, ATTEMPTS_MAX + 1):
            start_and_kill(node, folder)
            assert live(folder).attempts == attempts
        assert node.log.count("node n1 is ready") == 1
        for _ in range(2):  # the second takes up what the first has made
            node.start()
            node.wait_ready()
            with pytest.raises(HandshakeFailed):
                node.client()
            assert [each["state"] for each in node.status()["exports"]] == ["lost"]
            node.kill()
        assert (
            node.log.count(
                "the pages of the last run are given up: the kept memory ended too many starts"
            )
            == 1
        )
        node.start()
        node.wait_ready()
        assert node.status()["memory"]["attaches"] == 2
        node.reset_export()
        with node.client() as client:
            assert client.read(0, MIB) == bytes(MIB)


def test_starts_that_are_stopped_as_they_take_their_memory_up_lose_nothing(
    new_cluster: NewCluster,
) -> None:
    """An operator may restart it again before it serves, as often as he likes."""
    node = new_cluster(budgets=["32MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        runs = fill_runs(node, 8 * RUNS)
        node.kill()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            begin_to_take_up(node, folder)
            node.stop(number)
            assert live(folder).attempts == 0
        node.start()
        node.wait_ready()
        assert not node.status()["memory"]["given_up"]
        check_runs(node, runs)


# A machine that finds out late that memory can't be locked.
NO_LOCK = """
import ramsterd.host.protection as protection
def lock_from_now_on():
    raise OSError(12, "Cannot allocate memory")
protection.lock_from_now_on = lock_from_now_on
"""


def test_starts_whose_memory_can_not_be_locked_lose_nothing(new_cluster: NewCluster) -> None:
    """systemd tries again each 15 seconds, until the config is corrected."""
    node = new_cluster(budgets=["32MiB"])[1]
    with kept_folder() as folder:
        keep_in(node.config, folder)
        node.start()
        node.wait_ready()
        runs = fill_runs(node, RUNS)
        node.stop()
        right, program = node.config.read_text(), node.program
        node.config.write_text(right.replace("[memory]\n", '[memory]\nlock = "yes"\n'))
        node.program = changed_by(NO_LOCK)
        for _ in range(ATTEMPTS_MAX + 1):
            node.start()
            assert node.wait_end() == EX_CONFIG
            assert live(folder).attempts == 0
        node.config.write_text(right)
        node.program = program
        node.start()
        node.wait_ready()
        check_runs(node, runs)
