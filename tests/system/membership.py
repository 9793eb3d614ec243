"""Nodes that each have a cluster file of their own, and what ramsterctl says of their members."""

from pathlib import Path

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.daemons import Cluster, Node, wait_until

NOTE = "# kept: rack 7, ask Ada"


def ctl(node: Node, *arguments: str, status: int = 0) -> str:
    """Run `ramsterctl`; return its output, and its errors when it is to fail."""
    done = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    assert done.returncode == status, done
    return done.stdout if status == 0 else done.stderr


def file_of(node: Node) -> Path:
    return node.config.with_name(f"cluster-{node.name}.toml")


def separate(cluster: Cluster, members: int) -> None:
    """Give each of the first `members` nodes a cluster file of its own that names just them."""
    text = cluster[1].config.with_name("cluster.toml").read_text()
    head, *tables = text.split("[[node]]")
    text = f"{NOTE}\n{head}" + "".join(f"{NOTE}\n[[node]]{each}" for each in tables[:members])
    for node in cluster:
        config = node.config.read_text()
        node.config.write_text(config.replace("cluster.toml", file_of(node).name))
        if node.number <= members:
            file_of(node).write_text(text)


def start(cluster: Cluster, numbers: list[int]) -> None:
    for number in numbers:
        cluster[number].start()
    for number in numbers:
        cluster[number].wait_ready()
    wait_linked(cluster, numbers)


def wait_linked(cluster: Cluster, numbers: list[int]) -> None:
    for number in numbers:
        others = set(numbers) - {number}
        wait_until(lambda: cluster[number].links() >= others, f"{number} is linked")  # noqa: B023  called at once


def members(node: Node) -> set[int]:
    return set(node.states())


def wait_members(nodes: list[Node], expected: set[int]) -> None:
    for node in nodes:
        wait_until(lambda: members(node) == expected, f"{node.name} knows {expected}")  # noqa: B023  called at once
