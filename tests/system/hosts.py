"""Daemons on hosts of their own: `tests.system.namespaces`, with the files that `ramsterctl cluster init` makes."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.daemons import TIMERS, Cluster, Node
from tests.system.namespaces import Network

METRICS = "127.0.0.1:9750"
GET_METRICS = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"


def ramsterctl(*arguments: str) -> str:
    """Run ramsterctl as an operator would, and return what it prints."""
    done = run_program(
        [*RAMSTERCTL, *arguments],
        capture_output=True, check=False, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def move_in(
    cluster: Cluster,
    network: Network,
    out: Path,
    *,
    export: str,
    budgets: list[str],
    remote: str = "",
    timers: Mapping[str, float] = TIMERS,
    address: Callable[[int], str] | None = None,
) -> None:
    """Make the folders of a new cluster, and run each node from its own, on its own host; `remote` is for [remote].

    TLS, addresses, port and copies are what an operator gets.  Sockets, budgets and timers are the test's.
    """
    address = address or network.address
    members = ",".join(f"{node.name}={address(node.number)}" for node in cluster)
    ramsterctl(
        "cluster", "init", "--name", "test", "--nodes", members, "--out", str(out),
        "--budget", "1GiB", "--export", f"swap0={export}",
    )  # fmt: skip
    lines = "".join(f"{key} = {value}\n" for key, value in timers.items())
    for node, budget in zip(cluster, budgets, strict=True):
        folder = out / node.name
        members_file = folder / "cluster.toml"
        members_file.write_text(f"{members_file.read_text()}\n[timers]\n{lines}")
        node.config = folder / "ramsterd.toml"
        text = node.config.read_text().replace('"1GiB"', f'"{budget}"')
        text = text.replace("/run/ramster/control.sock", str(node.control))
        text = text.replace("/run/ramster/nbd.sock", str(node.nbd))
        assert f'listen = "{METRICS}"' in text, "each host has a loopback of its own"
        node.config.write_text(f"{text}\n[remote]\n{remote}\n")
        node.prefix = network.inside(node.number)


def status_json(node: Node) -> Any:
    """Return what `ramsterctl status -o json` prints."""
    return json.loads(ramsterctl("--socket", str(node.control), "status", "-o", "json"))


def metrics(node: Node) -> dict[str, float]:
    """Return all samples of a node, asked from its own host."""
    done = subprocess.run(
        [*node.prefix, sys.executable, "-c", GET_METRICS, f"http://{METRICS}/metrics"],
        capture_output=True, check=True, text=True, timeout=60,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def pages_at_risk(node: Node) -> int:
    return int(node.engine()["rebuild"]["pages_at_risk"])


def at_risk_as_shown(node: Node) -> tuple[int, int]:
    """Return what metrics and `ramsterctl status` say."""
    shown = status_json(node)["engine"]["rebuild"]["pages_at_risk"]
    return int(metrics(node)["ramster_pages_at_risk"]), int(shown)
