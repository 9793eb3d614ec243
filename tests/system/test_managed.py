"""The daemon as a service: a real systemd keeps its memory and its clients, and one that is played does the same."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramsterd.client.nbd import ConnectionLost, HandshakeFailed
from ramsterd.doctor.fixes import KEPT_DESCRIPTORS
from ramsterd.kept.layout import MAPPINGS
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, START_SECONDS_MAX, wait_until
from tests.system.fill import RUN_BYTES, check_runs, fill_runs
from tests.system.managed import Managed, by_fake, by_systemd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# And the super page.
MEMORY_FILES = len(MAPPINGS) + 1
RUNS = 2 * MIB // RUN_BYTES


@pytest.fixture(params=["systemd", "played"])
def managed(
    request: pytest.FixtureRequest, new_cluster: NewCluster, tmp_path: Path, sockets: Path
) -> Iterator[Managed]:
    node = new_cluster(budgets=["8MiB"])[1]
    if request.param == "systemd":
        with by_systemd(node, tmp_path, [tmp_path, sockets]) as found:
            found.start()
            yield found
    else:
        with by_fake(node, tmp_path) as found:
            found.start()
            yield found


def attaches(managed: Managed) -> tuple[str, int]:
    memory = managed.node.status()["memory"]
    return memory["keeper"], memory["attaches"]


def wait_given_up(managed: Managed) -> None:
    """Wait until the manager has nothing but the memory, each file of it once."""
    wait_until(
        lambda: managed.count_stored() == MEMORY_FILES,
        f"{MEMORY_FILES} descriptors are stored",
    )


def test_a_client_sees_a_restart_as_a_pause(managed: Managed) -> None:
    node = managed.node
    runs = fill_runs(node, RUNS)
    wait_given_up(managed)
    with node.client() as client:
        for count in (1, 2, 3):
            managed.restart()
            assert attaches(managed) == ("systemd", count)
            assert client.read(0, RUN_BYTES) == runs[0]
            runs[1] = bytes([count]) * RUN_BYTES
            client.write(RUN_BYTES, runs[1])
            assert node.status()["handover"]["connections_total"] == 1
            # Of the connection and of the listening sockets the manager has nothing any more.
            wait_given_up(managed)
    check_runs(node, runs)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_pages_outlive_a_crash_and_clients_connect_again(
    managed: Managed, number: signal.Signals
) -> None:
    """SIGABRT is what a watchdog sends."""
    node = managed.node
    runs = fill_runs(node, RUNS)
    # Connections that were handed over once must not outlive the next process, or their clients would wait for ever.
    with pytest.raises(ConnectionLost), node.client() as client:  # noqa: PT012  what precedes does not raise that
        managed.restart()
        assert client.read(0, RUN_BYTES) == runs[0]
        managed.crash(number)
        client.read(0, RUN_BYTES)
    assert attaches(managed) == ("systemd", 2)
    check_runs(node, runs)
    wait_given_up(managed)


def test_a_restart_by_the_daemon_itself_and_one_by_the_manager_follow_each_other(
    managed: Managed,
) -> None:
    node = managed.node
    runs = fill_runs(node, RUNS)
    with node.client() as client:
        pid = managed.main_pid()
        for count in (1, 3):
            restart_itself(managed, count)
            assert managed.main_pid() == pid
            assert client.read(0, RUN_BYTES) == runs[0]
            wait_given_up(managed)
            managed.restart()
            assert managed.main_pid() != pid
            pid = managed.main_pid()
            assert client.read(0, RUN_BYTES) == runs[0]
            wait_given_up(managed)
    check_runs(node, runs)


def restart_itself(managed: Managed, count: int) -> None:
    """`ramsterctl restart`, until the next program serves, which attaches the memory for the `count`th time."""
    wait_until(
        lambda: managed.node.ask("restart")["state"] == "restarting",
        "the next start is checked",
        seconds_max=START_SECONDS_MAX,
    )
    wait_until(
        lambda: attaches_of(managed) == count,
        "the next program serves",
        seconds_max=START_SECONDS_MAX,
    )


def attaches_of(managed: Managed) -> int:
    """Return how often the memory was attached; -1: nobody answers."""
    try:
        return attaches(managed)[1]
    except OSError:
        return -1


def test_a_stop_ends_the_pages_and_the_next_start_says_so(managed: Managed) -> None:
    node = managed.node
    fill_runs(node, RUNS)
    with pytest.raises(ConnectionLost), node.client() as client:  # noqa: PT012  what precedes does not raise that
        managed.stop()
        assert managed.count_stored() == 0
        client.read(0, RUN_BYTES)
    managed.start()
    assert attaches(managed) == ("systemd", 0)
    with pytest.raises(HandshakeFailed, match="`ramsterctl export reset swap0` makes it blank"):
        node.client()
    node.reset_export()
    check_runs(node, [bytes(RUN_BYTES)])


def test_a_config_that_is_wrong_costs_no_page_and_no_client(
    new_cluster: NewCluster, tmp_path: Path, sockets: Path
) -> None:
    """systemd tries again until it is corrected; exit status 78."""
    node = new_cluster(budgets=["8MiB"])[1]
    with by_systemd(node, tmp_path, [tmp_path, sockets], {"|| sleep 15": "|| sleep 3"}) as managed:
        managed.start()
        runs = fill_runs(node, RUNS)
        with node.client() as client:
            right = node.config.read_text()
            node.config.write_text(right.replace('budget = "8MiB"', 'budget = "8 apples"'))
            managed.restart_without_waiting()
            for _ in range(2):
                said = node.log.count("found '8 apples'")
                wait_until(
                    lambda said=said: node.log.count("found '8 apples'") > said,  # type: ignore[misc]  # can't infer
                    "the start fails once more",
                    seconds_max=START_SECONDS_MAX,
                )
            node.config.write_text(right)
            managed.wait_active()
            assert attaches(managed) == ("systemd", 1)
            assert client.read(0, RUN_BYTES) == runs[0]
        check_runs(node, runs)


def test_a_unit_that_may_store_nothing_keeps_no_memory_and_says_so(
    new_cluster: NewCluster, tmp_path: Path, sockets: Path
) -> None:
    """The unit of an older release; systemd says so only since 254."""
    node = new_cluster(budgets=["8MiB"])[1]
    changes = {"FileDescriptorStoreMax=4111": "FileDescriptorStoreMax=0"}
    with by_systemd(node, tmp_path, [tmp_path, sockets], changes) as managed:
        managed.start()
        assert attaches(managed) == ("", 0)
        fill_runs(node, 1)
        managed.restart()
        assert attaches(managed) == ("", 0)
        with pytest.raises(HandshakeFailed, match="ended with the last run of ramsterd"):
            node.client()


def test_a_unit_that_may_store_more_keeps_the_pages_from_a_restart_by_the_daemon_itself_on(
    new_cluster: NewCluster, tmp_path: Path, sockets: Path
) -> None:
    """What `ramsterctl doctor` prints for NOT_KEPT ends no page."""
    node = new_cluster(budgets=["8MiB"])[1]
    changes = {"FileDescriptorStoreMax=4111": "FileDescriptorStoreMax=0"}
    with by_systemd(node, tmp_path, [tmp_path, sockets], changes) as managed:
        managed.start()
        assert attaches(managed) == ("", 0)
        runs = fill_runs(node, RUNS)
        managed.add_drop_in(f"FileDescriptorStoreMax={KEPT_DESCRIPTORS}")
        with node.client() as client:
            restart_itself(managed, 1)
            assert attaches(managed) == ("systemd", 1)
            wait_given_up(managed)
            managed.restart()
            assert attaches(managed) == ("systemd", 2)
            assert client.read(0, RUN_BYTES) == runs[0]
        check_runs(node, runs)


def test_a_long_attach_is_no_hang_to_the_watchdog(
    new_cluster: NewCluster, tmp_path: Path, sockets: Path
) -> None:
    """systemd watches the process while it becomes the next program, which feeds nothing before it serves."""
    node = new_cluster(budgets=["8MiB"])[1]
    is_long = tmp_path / "the attach is long"
    wait = f"import os, time; os.path.exists({str(is_long)!r}) and time.sleep(8)"
    node.program = [sys.executable, "-c", f"{wait}; {node.program[-1]}"]
    changes = {"WatchdogSec=30": "WatchdogSec=4"}
    with by_systemd(node, tmp_path, [tmp_path, sockets], changes) as managed:
        managed.start()
        runs = fill_runs(node, RUNS)
        pid = managed.main_pid()
        with node.client() as client:
            is_long.touch()
            restart_itself(managed, 1)
            assert client.read(0, RUN_BYTES) == runs[0]
            assert managed.main_pid() == pid
            is_long.unlink()
            # From then on it is watched as before.
            managed.send(signal.SIGSTOP)
            wait_until(
                lambda: managed.main_pid() not in {0, pid},
                "the watchdog ends a process that hangs",
                seconds_max=START_SECONDS_MAX,
            )
            managed.wait_active()
        check_runs(node, runs)
