"""Three daemons, one of which is killed: `health`, its exit status, the status, the log and the metrics say the same."""

import json
import re
import subprocess
import urllib.request
from typing import Any

import pytest

from ramsterd.health.codes import Code
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, free_ports, wait_until
from tests.system.fill import fill_marked

PAGES = 1200
# What an operator may expect, and some time for a busy machine.
FOUND_SECONDS_MAX = 10.0
SLACK = 3


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment(),
    )


def codes(node: Node) -> dict[str, Any]:
    """Return the codes that hold and are not muted, by name."""
    found = node.ask("health")["codes"]
    return {each["code"]: each for each in found if not each["muted_seconds"]}


def exactly(node: Node, *names: str) -> dict[str, Any]:
    """Return these codes, or nothing if others hold."""
    found = codes(node)
    return found if found.keys() == set(names) else {}


def scraped(port: int) -> dict[str, float]:
    """Return the samples of health by their names with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    rows = re.findall(r"^(ramster_health\S*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def metric_of(code: str, severity: str) -> str:
    return f'ramster_health{{code="{code}",severity="{severity}"}}'


@pytest.fixture
def port() -> int:
    [port] = free_ports(1)
    return port


@pytest.fixture
def cluster(new_cluster: NewCluster, port: int) -> Cluster:
    """Pages of the first node have two copies, at the others; nobody keeps memory, which an operator knows."""
    made = new_cluster(budgets=["4MiB", "32MiB", "32MiB"], copies=2)
    text = made[1].config.read_text()
    made[1].config.write_text(f'{text}[metrics]\nlisten = "127.0.0.1:{port}"\n')
    made.start()
    wait_until(lambda: codes(made[1]), "the first node looks at itself")
    done = ctl(made[1], "health", "mute", "not_kept", "--for", "1h")
    assert done.stdout == "NOT_KEPT is muted for 1h, unless it gets worse\n", done
    wait_until(lambda: not codes(made[1]), "all is well", seconds_max=30)
    return made


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_node_is_found_by_all_who_ask_and_is_over_when_it_is_back(
    cluster: Cluster, port: int
) -> None:
    node = cluster[1]
    fill_marked(node, PAGES)
    assert node.pages_at(3) > 0
    wait_until(lambda: not codes(node), "all is well with pages", seconds_max=30)
    done = ctl(node, "health")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "OK     failure tolerance: 1 node; 1 muted",
    )

    cluster[3].kill()
    # A machine that is slow to find out may have more to say for a moment.
    found = wait_until(
        lambda: exactly(node, "NODE_DOWN", "PAGES_AT_RISK"),
        "a node is down and its pages are at risk",
        seconds_max=SLACK * FOUND_SECONDS_MAX,
    )
    assert found["NODE_DOWN"]["command"] == "on node n3: systemctl start ramsterd"
    assert found["NODE_DOWN"]["summary"] == "1 of 2 other nodes is down: n3"
    check_all_agree(node, port)

    cluster[3].start()
    cluster[3].wait_ready()
    wait_until(lambda: not codes(node), "all is well again", seconds_max=60)
    assert ctl(node, "health").returncode == 0
    node.wait_said("NODE_DOWN is over, after ")
    node.wait_said("PAGES_AT_RISK is over, after ")
    wait_until(
        lambda: scraped(port)["ramster_health_failure_tolerance_nodes"] == 1, "the metric follows"
    )
    assert scraped(port)[metric_of("NODE_DOWN", "warn")] == 0


def check_all_agree(node: Node, port: int) -> None:
    """The command, in text and JSON, the status, the log and the metrics have these codes."""
    done = ctl(node, "health")
    assert done.returncode == 1, done
    lines = done.stdout.splitlines()
    assert lines[0] == "WARN   failure tolerance: 0 nodes; 1 muted"
    assert lines[1].startswith("WARN   NODE_DOWN      1 of 2 other nodes is down: n3")
    assert "         type: on node n3: systemctl start ramsterd" in lines
    done = ctl(node, "health", "-o", "json")
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    [of_node] = shown["nodes"]
    assert (shown["severity"], shown["failure_tolerance_nodes"], of_node["node"]) == (
        "warn",
        0,
        "n1",
    )
    names = {each["code"] for each in of_node["codes"]}
    assert names == {"NODE_DOWN", "PAGES_AT_RISK", "NOT_KEPT"}
    text = ctl(node, "status").stdout
    assert "HEALTH         warn: NODE_DOWN and 1 more; 1 muted; type: ramsterctl health" in text
    node.wait_said("NODE_DOWN (warn): 1 of 2 other nodes is down: n3; type: on node n3: ")
    wait_until(lambda: scraped(port)[metric_of("PAGES_AT_RISK", "warn")], "the metric follows")
    samples = scraped(port)
    assert {code.value for code in Code if samples.get(metric_of(code.value, "warn"))} == names
    assert not any(samples.get(metric_of(code.value, "err")) for code in Code)
    assert samples['ramster_health_muted{code="NOT_KEPT"}'] == 1
    assert samples["ramster_health_failure_tolerance_nodes"] == 0


def test_a_mute_ends_when_it_gets_worse_and_no_restart_keeps_it(cluster: Cluster) -> None:
    node = cluster[1]
    done = ctl(node, "health", "mute", "NODE_DOWN", "--for", "1h")
    assert done.returncode == 1
    assert done.stderr == "ramsterctl: NODE_DOWN does not hold now: there is nothing to mute\n"
    cluster[3].stop()
    wait_until(lambda: "NODE_DOWN" in codes(node), "n3 was stopped", seconds_max=30)
    ctl(node, "health", "mute", "NODE_DOWN", "--for", "1h")
    assert codes(node) == {}
    assert ctl(node, "health").returncode == 0
    cluster[2].stop()
    found = wait_until(lambda: codes(node), "both were stopped", seconds_max=30)
    assert found["NODE_DOWN"]["summary"] == "2 of 2 other nodes are down: n2 and n3"
    node.wait_said("NODE_DOWN is not muted any more: it got worse")
    node.stop()
    node.start()
    node.wait_ready()
    wait_until(lambda: "NOT_KEPT" in codes(node), "nothing is muted after a restart")
    done = ctl(node, "health", "unmute", "NOT_KEPT")
    assert (done.returncode, done.stderr) == (
        1,
        "ramsterctl: NOT_KEPT is not muted: nothing has changed\n",
    )
