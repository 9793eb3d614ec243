"""Three daemons as `ramsterctl cluster init` sets them up: pages travel over TLS; SIGHUP renews."""

import random
import shutil
import signal
import subprocess
from pathlib import Path

from tests.system.conftest import NewCluster
from tests.system.daemons import RAMSTERCTL, Cluster, Node, environment, wait_until

RUN_BYTES = 64 * 4096


def ramsterctl(*arguments: str) -> str:
    done = subprocess.run(
        [*RAMSTERCTL, *arguments],
        capture_output=True, check=False, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def init(cluster: Cluster, out: Path, *more: str) -> None:
    members = ",".join(f"{node.name}=127.0.0.1:{node.port}" for node in cluster)
    ramsterctl(
        "cluster", "init", "--nodes", members, "--name", "test", "--out", str(out),
        "--budget", "8MiB", "--export", "swap0=32MiB", *more,
    )  # fmt: skip


def use_folders(cluster: Cluster, out: Path) -> None:
    """Run each node from its folder; only the sockets are the test's own."""
    for node in cluster:
        node.config = out / node.name / "ramsterd.toml"
        text = node.config.read_text()
        text = text.replace("/run/ramster/control.sock", str(node.control))
        text = text.replace("/run/ramster/nbd.sock", str(node.nbd))
        # Two copies of what overflows would not fit three small nodes.
        node.config.write_text(f"{text}\n[remote]\ncopies = 1\n")


def certificate_days(node: Node) -> float:
    return float(node.status()["certificate_seconds"]) / 86_400


def test_a_cluster_that_init_made(new_cluster: NewCluster, tmp_path: Path) -> None:
    cluster = new_cluster(budgets=["8MiB"] * 3)
    out = tmp_path / "rack"
    init(cluster, out)
    use_folders(cluster, out)
    cluster.start()

    runs = [random.Random(run).randbytes(RUN_BYTES) for run in range(60)]  # 15 MiB
    with cluster[1].client() as client:
        for place, run in enumerate(runs):
            client.write(place * RUN_BYTES, run)
        wait_until(
            lambda: cluster[2].foreign_pages() + cluster[3].foreign_pages() > 500, "pages overflow"
        )
        for place, run in enumerate(runs):
            assert client.read(place * RUN_BYTES, RUN_BYTES) == run
    assert cluster[1].engine()["fetch"]["fetched_total"] > 0

    shown = ramsterctl("--socket", str(cluster[1].control), "status")
    assert "tls       the certificate expires in 36" in shown

    # Renew: broken files first, which must change nothing.
    renewed = tmp_path / "renewed"
    init(cluster, renewed, "--ca", str(out / "ca"), "--days", "100")
    node = cluster[1]
    folder = out / node.name
    key = (folder / "node.key").read_text()
    (folder / "node.key").write_text("broken")
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: "the certificate stays the old one" in node.log, "the mistake is told")
    assert certificate_days(node) > 3000
    assert key != (renewed / node.name / "node.key").read_text()
    for name in ("node.pem", "node.key"):
        shutil.copy(renewed / node.name / name, folder / name)
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: certificate_days(node) < 101, "the new certificate is used")
    assert node.links() == {2, 3}, "open links stay"

    # A new life of a peer links with the new certificate.
    cluster[3].stop()
    wait_until(lambda: 3 not in node.links(), "node 3 is gone")
    cluster[3].start()
    cluster[3].wait_ready()
    wait_until(lambda: node.links() == {2, 3}, "node 3 is back", seconds_max=20)
