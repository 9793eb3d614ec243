"""One daemon as an operator and a service manager see it: start, refusals, commands, metrics, stop."""

import json
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ramsterd.observe.metrics import EXPORT_SERIES_MAX, NODE_SERIES_MAX, SERIES_MAX
from tests.helpers.programs import RAMSTERCTL, RAMSTERD, changed_by, environment, run_program
from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import (
    EXPORT,
    MIB,
    STOP_SECONDS_MAX,
    Cluster,
    Node,
    free_ports,
    wait_until,
)

EX_CONFIG = 78
# What Prometheus adds to the name of a family, by its type.
SUFFIXES = {
    "counter": {"_total"},
    "gauge": {""},
    "histogram": {"_bucket", "_count", "_sum"},
}


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*command, *(str(each) for each in arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=environment(),
        text=True,
        timeout=30,
    )


def the_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what it wrote to standard error, which is one line."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith("\n")
    return done.stderr.strip()


@pytest.fixture
def alone(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["4MiB"])
    cluster.start()
    return cluster


def check_serves(node: Node) -> None:
    with node.client() as client:
        client.write(0, b"x" * 4096)
        assert client.read(0, 4096) == b"x" * 4096


def test_second_daemon_with_the_same_files_is_refused(alone: Cluster) -> None:
    node = alone[1]
    done = run(RAMSTERD, "run", "--config", node.config)
    assert done.returncode == 1
    state = node.config.parent / "n1-state"
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ramsterd: {state}: another ramsterd uses this state_dir: process ")
    assert last.endswith("; stop it, or set a state_dir that no other daemon uses")
    text = node.config.read_text()
    text = text.replace("n1-state", "other-state")
    for path in (node.nbd, node.control):
        text = text.replace(str(path), f"{path}2")
    node.config.write_text(text)
    done = run(RAMSTERD, "run", "--config", node.config)
    assert done.returncode == 1
    expected = f"can't serve links and heartbeat at 127.0.0.1:{node.port} (address and port of n1 in cluster.toml): "
    expected += f"Address already in use; `ss -ltunp 'sport = :{node.port}'` (as root) shows the program that uses it"
    assert done.stderr.splitlines()[-1] == f"ramsterd: {expected}"
    assert "Traceback" not in done.stderr
    check_serves(node)
    assert node.status()["node"] == "n1"


@pytest.mark.parametrize("section", ["nbd", "control"])
def test_second_daemon_with_one_of_our_sockets_is_refused(alone: Cluster, section: str) -> None:
    """Another node of another cluster, but one socket is ours: it must not be taken over."""
    node = alone[1]
    (port,) = free_ports(1)
    folder = node.config.parent / "other"
    folder.mkdir()
    text = (node.config.parent / "cluster.toml").read_text()
    (folder / "cluster.toml").write_text(text.replace(str(node.port), str(port)))
    ours = {"nbd": node.nbd, "control": node.control}
    text = node.config.read_text()
    for name, path in ours.items():
        if name != section:
            text = text.replace(str(path), f"{path}2")
    (folder / "n1.toml").write_text(text)
    done = run(RAMSTERD, "run", "--config", folder / "n1.toml")
    assert done.returncode == 1
    title = {"nbd": "NBD", "control": "control"}[section]
    expected = (
        f"can't serve {title} at {ours[section]} ({section}.socket): another server listens there; "
    )
    expected += f"`ss -lxp | grep {ours[section]}` (as root) shows the program"
    assert done.stderr.splitlines()[-1] == f"ramsterd: {expected}"
    assert "Traceback" not in done.stderr
    check_serves(node)
    assert node.status()["node"] == "n1"


def test_metrics_address_in_use_is_refused_in_one_line(new_cluster: NewCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        cluster = new_cluster(budgets=["4MiB"], more=f'[metrics]\nlisten = "{listen}"')
        done = run(RAMSTERD, "run", "--config", cluster[1].config)
    assert done.returncode == 1
    expected = f"ramsterd: can't serve metrics at {listen} (metrics.listen): Address already in use; `ss -ltunp "
    assert done.stderr.splitlines()[-1].startswith(expected)
    assert "Traceback" not in done.stderr


# Time enough for a link, before the last endpoint is found to be taken.
SLOW_METRICS = """
import trio
from ramsterd.observe.metrics_server import MetricsServer
serve = MetricsServer.serve
async def serve_late(self, task_status=trio.TASK_STATUS_IGNORED):
    await trio.sleep(1)
    await serve(self, task_status)
MetricsServer.serve = serve_late
"""


def test_a_start_that_fails_has_met_no_peer(new_cluster: NewCluster) -> None:
    """Else peers give it pages, which end with it; or they believe that its memory was lost."""
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    cluster[1].start()
    cluster[1].wait_ready()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with cluster[2].config.open("a") as config:
            config.write(f'[metrics]\nlisten = "{listen}"\n')
        done = run(changed_by(SLOW_METRICS), "run", "--config", cluster[2].config)
    assert done.returncode == 1
    assert "(metrics.listen): Address already in use" in done.stderr
    assert "link is up" not in done.stderr + cluster[1].log
    assert "n2 is up" not in cluster[1].log


def test_sockets_of_a_killed_daemon_are_taken_over(alone: Cluster) -> None:
    node = alone[1]
    node.kill()
    assert node.nbd.exists()
    node.start()
    node.wait_ready()
    check_serves(node)


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_mistake_in_a_file_is_one_line_and_status_78(tmp_path: Path, command: str) -> None:
    file = tmp_path / "ramsterd.toml"
    file.write_text('node = "n1"\ncluster = "cluster.toml"\n[memory]\nbudget = "1MB"\n')
    done = run(RAMSTERD, command, "--config", file)
    assert done.returncode == EX_CONFIG
    assert the_line(done).startswith(f"ramsterd: {file}")
    assert "memory.budget" in done.stderr
    file.write_text('node = "n1"\ncluster = "cluster.toml"\n')
    done = run(RAMSTERD, command, "--config", file)
    assert done.returncode == EX_CONFIG
    assert f"{tmp_path / 'cluster.toml'}" in the_line(done)
    assert "no such file" in done.stderr


def test_check_config_says_what_would_run(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    done = run(RAMSTERD, "check-config", "--config", cluster[2].config)
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"node n2 (2) at 127.0.0.1:{cluster[2].port}" in done.stdout
    assert f"budget 4MiB, exports: {EXPORT} (32MiB)" in done.stdout


def test_ramsterctl_without_a_daemon_is_one_line(tmp_path: Path) -> None:
    done = run(RAMSTERCTL, "--socket", tmp_path / "none", "status")
    assert done.returncode == 1
    assert the_line(done).startswith(f"ramsterctl: no daemon answers at {tmp_path / 'none'}: ")


def test_ramsterctl_status_and_nodes(alone: Cluster) -> None:
    node = alone[1]
    check_serves(node)
    done = run(RAMSTERCTL, "--socket", node.control, "status", "-o", "json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    assert {"node", "number", "incarnation", "cluster", "version", "uptime_seconds"} <= set(status)
    assert {"engine", "pager", "nbd", "exports", "heartbeat", "links"} <= set(status)
    assert {"store", "nodes", "remotify", "fetch", "foreign", "remote"} <= set(status["engine"])
    (export,) = status["exports"]
    assert export == {
        "name": EXPORT, "size_bytes": 32 * MIB, "pages": 1, "unreadable_pages": 0,
        "is_swap": False, "state": "used", "lost_at": 0,
    }  # fmt: skip
    text = run(RAMSTERCTL, "--socket", node.control, "status").stdout
    assert re.search(r"^HEALTH +warn: [A-Z_]+.*; type: ramsterctl health$", text, re.MULTILINE)
    assert text.startswith("node n1 (number 1) of cluster test, version ")
    assert re.search(r"^export swap0 +32 MiB, 1 page, used$", text, re.MULTILINE)
    rows = json.loads(run(RAMSTERCTL, "--socket", node.control, "nodes", "-o", "json").stdout)
    assert [row["config"]["name"] for row in rows] == ["n1"]
    text = run(RAMSTERCTL, "--socket", node.control, "nodes").stdout
    assert "n1" in text.splitlines()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_in_order_under_load(new_cluster: NewCluster, number: signal.Signals) -> None:
    require_tool("fio")
    cluster = new_cluster(budgets=["2MiB", "16MiB"])
    cluster.start()
    fio = ["fio", "--name=m", "--ioengine=nbd", f"--uri={cluster[1].uri}", "--rw=randrw", "--bs=4k"]
    fio += ["--size=8M", "--iodepth=16", "--time_based", "--runtime=60", "--refill_buffers"]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(fio, stdin=nowhere, stdout=nowhere, stderr=nowhere) as load:
        try:
            wait_until(lambda: cluster[1].engine()["fetch"]["fetched_pages_total"], "pages travel")
            cluster[1].stop(number)
            wait_until(lambda: not cluster[2].foreign_pages(), "the peer is rid of them")
        finally:
            load.kill()


def test_service_manager_is_told(new_cluster: NewCluster, tmp_path: Path) -> None:
    """What it is told of memory, tests/system/test_managed.py says."""
    cluster = new_cluster(budgets=["4MiB"])
    config = cluster[1].config
    config.write_text(config.read_text().replace("[memory]\n", '[memory]\nkeep = "no"\n'))
    name = f"\0ramster-test-{tmp_path}"[:100]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(STOP_SECONDS_MAX)
        told = {"NOTIFY_SOCKET": "@" + name[1:], "WATCHDOG_USEC": "200000"}
        cluster[1].start(told)
        said = {manager.recv(100) for _ in range(3)}
        assert said == {b"READY=1", b"WATCHDOG_USEC=200000", b"WATCHDOG=1"}
        # Ready means ready: no wait in between.
        assert cluster[1].status()["node"] == "n1"
        assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        cluster[1].stop()
        while (last := manager.recv(100)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"


def test_metrics_are_what_prometheus_reads(new_cluster: NewCluster) -> None:
    (port,) = free_ports(1)
    cluster = new_cluster(budgets=["2MiB"] * 2, more=f'[metrics]\nlisten = "127.0.0.1:{port}"')
    cluster[1].start()
    cluster[1].wait_ready()
    check_serves(cluster[1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(series) <= SERIES_MAX + NODE_SERIES_MAX + EXPORT_SERIES_MAX
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["ramster_put_pages"].type == "counter"
    for family in families.values():
        assert re.fullmatch(r"ramster_[a-z]+(_[a-z0-9]+)*", family.name)
        assert family.documentation
        for sample in family.samples:
            assert sample.name.removeprefix(family.name) in SUFFIXES[family.type]
    budget = families["ramster_budget_bytes"].samples[0].value
    assert budget == 2 * MIB
    require_tool("promtool")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_heartbeat_key_is_used_and_one_that_others_may_read_is_refused(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    for node in (cluster[1], cluster[2]):
        key = node.config.parent / "heartbeat.key"
        key.write_text("ab" * 32)
        key.chmod(0o644)
        node.config.write_text(f'heartbeat_key = "{key}"\n' + node.config.read_text())
    done = run(RAMSTERD, "check-config", "--config", cluster[1].config)
    assert done.returncode == EX_CONFIG
    assert "mode 0644, not 0600" in the_line(done)
    for node in (cluster[1], cluster[2]):
        (node.config.parent / "heartbeat.key").chmod(0o600)
    cluster.start()
    wait_until(lambda: cluster[1].states()[2] == "up", "the other is up")
    heartbeat = cluster[1].status()["heartbeat"]
    wait_until(
        lambda: (
            cluster[1].status()["heartbeat"]["received_datagrams_total"]
            > heartbeat["received_datagrams_total"]
        ),
        "datagrams come",
    )
    assert not any(cluster[1].status()["heartbeat"]["dropped_datagrams_total"].values())

    (cluster[1].config.parent / "heartbeat.key").write_text("cd" * 32)
    for node, other in ((cluster[1], 2), (cluster[2], 1)):
        node.send_signal(signal.SIGHUP)
        node.wait_said("the new heartbeat key is loaded")
        assert node.states()[other] == "up"
    probes = cluster[1].status()["heartbeat"]["detector"]["probes_total"]
    wait_until(
        lambda: (
            cluster[1].status()["heartbeat"]["detector"]["probes_total"]["direct"]
            > probes["direct"] + 2
        ),
        "probes are answered again",
    )
    assert "is down" not in cluster[1].log + cluster[2].log


def test_a_node_that_serves_swap_has_a_reserve_and_a_reload_ends_it(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["8MiB"])
    node = cluster[1]
    text = node.config.read_text()
    node.config.write_text(text.replace("[[export]]", "[[export]]\nswap = true", 1))
    cluster.start()
    budget = node.engine()["store"]["zbud"]["budget_bytes"]

    def reserve() -> dict[str, int]:
        found: dict[str, int] = node.engine()["store"]["reserve"]
        return found

    assert reserve()["wanted_bytes"] == budget // 8
    wait_until(
        lambda: reserve()["resident_bytes"] >= budget // 8 - 65536, "the reserve is resident"
    )
    assert reserve()["tables_bytes"] > 0
    node.config.write_text(text)
    node.ask("config-reload")
    wait_until(lambda: not reserve()["wanted_bytes"], "the reload is applied")
    wait_until(lambda: not node.engine()["store"]["zbud"]["warm_bytes"], "it is given back")
