"""Real daemons that keep their memory in folders on a tmpfs, ended and started again at once."""

import signal
import subprocess
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from ramsterd.kept.super_page import ATTEMPTS_MAX
from tests.helpers.kept_folders import keep_in
from tests.helpers.programs import RAMSTERCTL, environment
from tests.system.daemons import TIMERS, Cluster, Node, wait_until

AGREE_SECONDS_MAX: Final = 60
_BOUNDS: Final = {"request_seconds_max", "fetch_seconds_max", "put_wait_seconds_max"}


def keep_memory(cluster: Cluster, folder: Path) -> None:
    """Have each node keep its memory in a folder of its own."""
    for node in cluster:
        keep_in(node.config, folder / node.name)


def tmem_socket(node: Node) -> Path:
    """Return where programs connect."""
    return node.nbd.with_name(f"{node.number}.tmem")


def serve_programs(node: Node) -> None:
    """Have a node serve programs, and send their caches to peers, too."""
    text = node.config.read_text().replace("[remote]\n", "[remote]\nephemeral = true\n")
    node.config.write_text(f'{text}\n[tmem]\nsocket = "{tmem_socket(node)}"\n')


def repatriate_soon(node: Node) -> None:
    """Have a node bring its pages home as soon as there is room again."""
    text = node.config.read_text()
    node.config.write_text(text.replace("[remote]\n", "[remote]\nrepatriate_seconds = 0.5\n"))


def as_delivered(cluster: Cluster) -> None:
    """Have the timers and bounds that operators have: those of tests call a node down before it can be there again."""
    for file in {node.config.parent / "cluster.toml" for node in cluster}:
        file.write_text(_without(file.read_text(), TIMERS))
    for node in cluster:
        node.config.write_text(_without(node.config.read_text(), _BOUNDS))


def _without(text: str, keys: Collection[str]) -> str:
    return "".join(
        line for line in text.splitlines(keepends=True) if line.split(" = ")[0] not in keys
    )


def wait_may_be_killed(node: Node) -> None:
    """Wait until one more kill does not look as if its memory ended it."""
    if memory(node)["attempts"] >= ATTEMPTS_MAX - 1:
        wait_until(
            lambda: not memory(node)["attempts"], f"the memory of {node.name} is vouched for"
        )


def end_and_start(nodes: Collection[Node], how: signal.Signals) -> tuple[float, float]:
    """End nodes in the same moment and start them again at once; return when they were told, and when all had ended."""
    told_at = time.perf_counter()
    for node in nodes:
        node.send_signal(how)
    for node in nodes:
        assert node.process is not None
        node.process.wait()
        node.process = None
    ended_at = time.perf_counter()
    for node in nodes:
        node.start()
    return told_at, ended_at


def memory(node: Node) -> Any:
    """Return what a start found in its memory."""
    return node.status()["memory"]


def check_agrees(cluster: Cluster) -> None:
    """Have `ramsterctl verify --invariants` look at each node, as an operator does."""
    for node in cluster:
        done = subprocess.run(
            [*RAMSTERCTL, "--socket", str(node.control), "verify", "--invariants"],
            capture_output=True,
            check=False,
            env=environment(),
            text=True,
            timeout=AGREE_SECONDS_MAX,
        )
        assert done.returncode == 0, f"{node.name}: {done.stdout}{done.stderr}"
        lost = node.engine()["store"]["lost_pages_total"]
        assert not lost, f"{node.name} has lost {lost} pages"


def wait_quiet(cluster: Cluster) -> None:
    """Wait until nothing is owed, compared, or on its way."""

    def is_quiet(node: Node) -> bool:
        engine = node.engine()
        return not (
            engine["flushes_owed"]
            or engine["remotify"]["pages_in_flight"]
            or engine["rebuild"]["pages_at_risk"]
        )

    cluster.wait_linked()
    for node in cluster:
        wait_until(lambda node=node: is_quiet(node), f"{node.name} is quiet", seconds_max=60)  # type: ignore[misc]  # can't infer
