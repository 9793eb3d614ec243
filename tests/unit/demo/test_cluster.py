import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.load import load_node
from ramsterd.demo import cluster as demo_cluster
from ramsterd.demo.cluster import NAMES, Cluster, ClusterFailed, Node, end_process
from ramsterd.demo.stopping import Stopping

MIB = 1 << 20


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cluster = Cluster(Stopping())
    yield cluster
    cluster.close()


def sleeper(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    return process


def test_its_files_pass_the_check_of_the_daemon(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_cluster, "_command", lambda _: [sys.executable, "-c", ""])
    cluster.start((2 * MIB, 8 * MIB, 8 * MIB), 64 * MIB)
    for node in cluster.nodes:
        daemon, members, local = load_node(node.config_path)
        assert (local.name, local.number) == (node.name, node.number)
        assert [each.name for each in members.node] == list(NAMES)
        assert [export.size for export in daemon.export] == [64 * MIB] * (node.name == "alpha")


def test_a_daemon_that_ends_by_itself_is_noticed_and_its_log_shown(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; sys.exit('cannot go on')"
    monkeypatch.setattr(demo_cluster, "_command", lambda _: [sys.executable, "-c", code])
    cluster.start((2 * MIB,) * 3, 4096)
    for node in cluster.nodes:
        assert node.process is not None
        node.process.wait()
    with pytest.raises(ClusterFailed, match="alpha ended by itself with status 1"):
        cluster.wait_linked()
    assert list(cluster.log_tails()) == [(name, ["cannot go on"]) for name in NAMES]


def test_close_ends_what_runs_and_removes_the_folder(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time; time.sleep(1000)"
    monkeypatch.setattr(demo_cluster, "_command", lambda _: [sys.executable, "-c", code])
    cluster.start((2 * MIB,) * 3, 4096)
    cluster.close()
    assert [node.process and node.process.poll() for node in cluster.nodes] == [-signal.SIGTERM] * 3
    assert list(tmp_path.iterdir()) == []


def test_close_before_start_and_twice_does_nothing(cluster: Cluster) -> None:
    cluster.close()
    cluster.close()


def test_a_process_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_cluster, "_KILL_AFTER_SECONDS", 0.05)
    process = sleeper(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(flush=True); time.sleep(1000)"
    )
    assert end_process(process) == -signal.SIGKILL


def test_waiting_has_a_bound(cluster: Cluster) -> None:
    with pytest.raises(ClusterFailed, match="waited 0 s for rain"):
        cluster.wait_for("rain", lambda: False, seconds_max=0)


def test_a_node_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterFailed, match="alpha does not answer 'status'"):
        Node(1, "alpha", MIB, tmp_path).ask("status")


def test_ports_are_free_for_tcp_and_udp() -> None:
    ports = demo_cluster._free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as each:
                each.bind(("127.0.0.1", port))


def test_a_folder_too_long_for_sockets_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = demo_cluster._make_folder()
    folder.rmdir()
    assert folder.parent == Path("/tmp")
    assert list(long.iterdir()) == []


def test_daemons_do_not_report_to_our_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environ = demo_cluster._environment()
    assert "NOTIFY_SOCKET" not in environ
    first, second = environ["PYTHONPATH"].split(os.pathsep)
    assert Path(first, "ramsterd", "demo").is_dir()
    assert second == "/elsewhere"
