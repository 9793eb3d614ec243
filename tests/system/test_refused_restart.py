"""`ramsterctl restart` is refused where the next start would end, and the daemon serves all its pages."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, RAMSTERCTL, Node, environment

DATA = os.urandom(MIB)
REFUSED = "ramsterctl: nothing was restarted: the next start of ramsterd would fail: "


def refuses(node: Node) -> str:
    """Have it refuse, see that it serves as before, and return why it did."""
    done = subprocess.run(
        [*RAMSTERCTL, "--socket", str(node.control), "restart"],
        capture_output=True, text=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(REFUSED), done.stderr
    with node.client() as client:
        assert client.read(0, MIB) == DATA
    return done.stderr.removeprefix(REFUSED)


def started(new_cluster: NewCluster) -> Node:
    node = new_cluster(budgets=["16MiB"])[1]
    node.start()
    node.wait_ready()
    with node.client() as client:
        client.write(0, DATA)
    return node


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "', 'name = "other-', "the kept memory is of another cluster: '"),
        ("number = 1", "number = 7", "the kept memory is of another node: 'n1' (number 1), "),
    ],
)
def test_a_node_that_would_be_another_one_does_not_restart(
    new_cluster: NewCluster, old: str, new: str, said: str
) -> None:
    node = started(new_cluster)
    file = node.config.parent / "cluster.toml"
    first, _, rest = file.read_text().partition("[[node]]")
    text = first.replace(old, new) + "[[node]]" + (rest if old in first else rest.replace(old, new))
    assert text != file.read_text()
    file.write_text(text)
    assert said in refuses(node)
