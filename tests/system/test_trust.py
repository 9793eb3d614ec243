"""Daemons as `ramsterctl cluster` sets them up: pages travel over TLS, nodes are added, certificates renewed."""

import random
import shutil
import signal
from pathlib import Path

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until

RUN_BYTES = 64 * 4096


def ramsterctl(*arguments: str) -> str:
    done = run_program(
        [*RAMSTERCTL, *arguments],
        capture_output=True, check=False, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def init(nodes: list[Node], out: Path) -> None:
    members = ",".join(f"{node.name}=127.0.0.1:{node.port}" for node in nodes)
    ramsterctl(
        "cluster", "init", "--nodes", members, "--name", "test", "--out", str(out),
        "--budget", "8MiB", "--export", "swap0=32MiB",
    )  # fmt: skip


def use_folders(nodes: list[Node], out: Path) -> None:
    """Run each node from its folder; only the endpoints are the test's own."""
    for node in nodes:
        node.config = out / node.name / "ramsterd.toml"
        text = node.config.read_text()
        text = text.replace("/run/ramster/control.sock", str(node.control))
        text = text.replace("/run/ramster/nbd.sock", str(node.nbd))
        text = text.replace('listen = "127.0.0.1:9750"', 'listen = ""')
        # Two copies of what leaves would not fit three small nodes.
        node.config.write_text(f"{text}\n[remote]\ncopies = 1\n")


def certificate_days(node: Node) -> float:
    return float(node.status()["certificate_expiry_seconds"]) / 86_400


def reload(node: Node, *files: Path) -> None:
    """Copy files to where a node runs, and have it read them."""
    for file in files:
        shutil.copy(file, node.config.parent / file.name)
    told = node.log.count("the new certificate is loaded")
    node.send_signal(signal.SIGHUP)
    wait_until(
        lambda: node.log.count("the new certificate is loaded") == told + 1, f"{node.name} reloads"
    )


def link_anew(cluster: Cluster, gone: int) -> None:
    """Start a node again, whose links are then made with what everybody has now."""
    cluster[gone].stop()
    others = [node for node in cluster if node.number != gone]
    for node in others:
        wait_until(lambda: gone not in node.links(), f"{gone} is gone")  # noqa: B023  called at once
    cluster[gone].start()
    cluster[gone].wait_ready()
    cluster.wait_linked()


def test_a_cluster_that_init_made(new_cluster: NewCluster, tmp_path: Path) -> None:
    cluster = new_cluster(budgets=["8MiB"] * 3)
    out = tmp_path / "rack"
    init(list(cluster), out)
    use_folders(list(cluster), out)
    cluster.start()

    runs = [random.Random(run).randbytes(RUN_BYTES) for run in range(60)]  # 15 MiB
    with cluster[1].client() as client:
        for place, run in enumerate(runs):
            client.write(place * RUN_BYTES, run)
        wait_until(
            lambda: cluster[2].foreign_pages() + cluster[3].foreign_pages() > 500, "pages leave"
        )
        for place, run in enumerate(runs):
            assert client.read(place * RUN_BYTES, RUN_BYTES) == run
    assert cluster[1].engine()["fetch"]["fetched_pages_total"] > 0

    shown = ramsterctl("--socket", str(cluster[1].control), "status")
    assert "tls            the certificate is valid until 20" in shown

    # Renew: broken files first, which must change nothing.
    renewed = tmp_path / "renewed"
    ramsterctl("cluster", "renew", "--from", str(out), "--out", str(renewed), "--days", "100")
    node = cluster[1]
    folder = out / node.name
    key = (folder / "node.key").read_text()
    (folder / "node.key").write_text("broken")
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old certificate stays in use" in node.log, "the mistake is told")
    assert certificate_days(node) > 3000
    assert key != (renewed / node.name / "node.key").read_text()
    reload(node, renewed / node.name / "node.pem", renewed / node.name / "node.key")
    assert certificate_days(node) < 101, "the new certificate is used"
    assert node.links() == {2, 3}, "open links stay"
    assert "the certificate of this node expires" not in node.log
    link_anew(cluster, 3)


def test_half_of_a_renewal_changes_nothing(new_cluster: NewCluster, tmp_path: Path) -> None:
    """A certificate of another node, a new certificate with the old key, a file that is gone: the old ones serve."""
    cluster = new_cluster(budgets=["8MiB"] * 2)
    out, renewed = tmp_path / "rack", tmp_path / "renewed"
    init(list(cluster), out)
    use_folders(list(cluster), out)
    cluster.start()
    ramsterctl("cluster", "renew", "--from", str(out), "--out", str(renewed), "--days", "100")
    node = cluster[1]
    folder = node.config.parent
    new, other = renewed / "n1", renewed / "n2"
    steps = (
        (new / "node.pem", "key values mismatch"),
        (None, f"no file {folder / 'node.key'}"),
        (other / "node.key", "key values mismatch"),
        (other / "node.pem", "node.pem for n2, expected one for n1"),
    )
    for count, (spoilt, reason) in enumerate(steps, start=1):
        if spoilt is None:
            (folder / "node.key").unlink()
        else:
            shutil.copy(spoilt, folder)
        node.send_signal(signal.SIGHUP)
        told = "the old certificate stays in use"
        wait_until(lambda: node.log.count(told) == count, f"told: {reason}")  # noqa: B023  called at once
        line = [line for line in node.log.splitlines() if told in line][-1]
        assert reason in line
    assert certificate_days(node) > 3000
    link_anew(cluster, 2)


def test_a_later_node_joins_and_the_ca_is_changed(new_cluster: NewCluster, tmp_path: Path) -> None:
    """As docs/operations.md tells it: `cluster add-node`, `node add`, and a new CA without a link cut."""
    cluster = new_cluster(budgets=["8MiB"] * 3)
    out = tmp_path / "rack"
    init([cluster[1], cluster[2]], out)
    use_folders([cluster[1], cluster[2]], out)
    for number in (1, 2):
        cluster[number].start()
    for number in (1, 2):
        cluster[number].wait_ready()

    where = f"n3=127.0.0.1:{cluster[3].port}"
    told = ramsterctl(
        "cluster", "add-node", where, "--from", str(out), "--budget", "8MiB",
        "--export", "swap0=32MiB",
    )  # fmt: skip
    use_folders([cluster[3]], out)
    line = told.splitlines()[-1].split()
    assert line[:3] == ["ramsterctl", "node", "add"]
    ramsterctl("--socket", str(cluster[2].control), *line[1:])
    cluster[3].start()
    cluster[3].wait_ready()
    cluster.wait_linked()
    for node in cluster:
        wait_until(lambda: list(node.states().values()) == ["up"] * 3, f"{node.name} hears all")  # noqa: B023  called at once
        assert "heartbeat dropped, bad mac" not in node.log

    renewed = tmp_path / "renewed"
    ramsterctl("cluster", "renew", "--from", str(out), "--out", str(renewed), "--new-ca")
    for node in cluster:
        reload(node, renewed / node.name / "ca.pem")
    for node in cluster:
        reload(node, renewed / node.name / "node.pem", renewed / node.name / "node.key")
        # Those that are done and those that are not link with each other.
        link_anew(cluster, 4 - node.number if node.number != 2 else 1)
    for node in cluster:
        reload(node, renewed / "ca" / "ca.pem")
    link_anew(cluster, 2)
    for node in cluster:
        assert "certificate is not valid here" not in node.log
