"""SIGHUP and `ramsterctl config reload`: ramsterd.toml is judged, applied where that can be, and else named."""

import signal
import subprocess
import urllib.request

import pytest

from ramsterd.client.nbd import NbdError
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, free_ports, wait_until


def reload(node: Node, *, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), "config", "reload"],
        capture_output=True, check=False, env=environment(), text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == status, done
    return done


def change(node: Node, old: str, new: str) -> None:
    text = node.config.read_text()
    assert old in text
    node.config.write_text(text.replace(old, new))


@pytest.fixture
def alone(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["8MiB"])
    cluster.start()
    return cluster


def test_sighup_applies_what_can_be_applied(alone: Cluster) -> None:
    node = alone[1]
    with node.client() as client:
        client.write(0, b"x" * 4096)
    change(node, 'budget = "8MiB"', 'budget = "16MiB"\nhigh_watermark = 0.5\nlow_watermark = 0.4')
    change(node, "[control]", '[log.subsystems]\ncontrol = "debug"\n[control]')
    change(node, 'size = "32MiB"', 'size = "64MiB"\n[[export]]\nname = "new"\nsize = "1MiB"')
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: node.status()["config"]["reloads_total"] == 1, "it is reloaded")
    config = node.status()["config"]
    assert config["problems"] == []
    assert set(config["applied"]) == {
        "memory.high_watermark: 0.5, was 0.92",
        "memory.low_watermark: 0.4, was 0.85",
        "export.swap0.size: 64MiB, was 32MiB",
        "export.new: 1MiB, was absent",
        "log.subsystems: control = debug, was none",
    }
    (pending,) = config["needs_restart"]
    assert pending.startswith("memory.budget: 8MiB, in the file 16MiB")
    assert f"needs a restart: {pending}" in node.log
    with node.client() as client:
        assert client.size == 64 * MIB
        assert client.read(0, 4096) == b"x" * 4096, "what was there is there"
        client.write(64 * MIB - 4096, b"y" * 4096)
    with node.client("new") as client:
        client.write(0, b"z" * 4096)
    assert [each["name"] for each in node.status()["exports"]] == ["swap0", "new"]
    # The lower watermark holds: what is written beyond it has nowhere to go, and stays.
    assert node.engine()["store"]["zbud"]["budget_bytes"] == 8 * MIB


def test_a_client_that_is_connected_goes_on_while_its_export_grows(alone: Cluster) -> None:
    node = alone[1]
    with node.client() as client:
        client.write(0, b"x" * 4096)
        change(node, 'size = "32MiB"', 'size = "64MiB"')
        assert reload(node).stdout == "applied: export.swap0.size: 64MiB, was 32MiB\n"
        assert client.size == 32 * MIB
        client.write(32 * MIB - 4096, b"y" * 4096)
        with pytest.raises(NbdError):
            client.write(32 * MIB, b"y" * 4096)
        assert client.read(0, 4096) == b"x" * 4096


def test_a_mistake_keeps_the_old_and_is_told_everywhere(new_cluster: NewCluster) -> None:
    (port,) = free_ports(1)
    cluster = new_cluster(budgets=["8MiB"], more=f'[metrics]\nlisten = "127.0.0.1:{port}"')
    cluster.start()
    node = cluster[1]

    def metric(name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        (value,) = (line.split()[1] for line in lines if line.startswith(f"{name} "))
        return float(value)

    assert metric("ramster_last_reload_successful") == 1
    started_at = metric("ramster_last_reload_success_timestamp_seconds")
    good = node.config.read_text()
    node.config.write_text(good.replace("[control]", "[memory.x]\n[control]"))
    done = reload(node, status=1)
    told = f"the old configuration stays in force: {node.config}: memory.x: found an unknown key"
    assert told in done.stderr
    assert told in node.log
    # A text is kept for some scrapes in a row.
    wait_until(lambda: metric("ramster_last_reload_successful") == 0, "it is in the metrics")
    assert metric("ramster_last_reload_success_timestamp_seconds") == started_at
    status = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), "status"],
        capture_output=True, check=True, env=environment(), text=True, timeout=30,
    ).stdout  # fmt: skip
    assert f"RELOAD         failed: {told}" in status
    node.config.write_text(good.replace("[control]", '[log]\nlevel = "debug"\n[control]'))
    assert reload(node).stdout == "applied: log.level: 'debug', was 'info'\n"
    wait_until(lambda: metric("ramster_last_reload_successful") == 1, "it is over")
    assert metric("ramster_last_reload_success_timestamp_seconds") > started_at


def test_what_the_next_start_would_end_with_is_told(alone: Cluster) -> None:
    node = alone[1]
    change(node, "[nbd]\n", '[metrics]\nlisten = "192.0.2.1:9750"\n[nbd]\n')
    done = reload(node)
    assert done.stdout == "needs a restart: metrics.listen: '', in the file '192.0.2.1:9750'\n"
    wait_until(lambda: "an address of an interface of this machine" in node.log, "it is told")
