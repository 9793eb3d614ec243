"""`ramsterctl restart` is refused where the next start would end, and the daemon serves all its pages."""

import os
import socket
import subprocess

import pytest

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Node

DATA = os.urandom(MIB)
REFUSED = "ramsterctl: nothing was restarted: the next start of ramsterd would fail: "


def restart(node: Node) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), "restart"],
        capture_output=True, text=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip


def refuses(node: Node) -> str:
    """Have it refuse, see that it serves as before, and return why it did."""
    done = restart(node)
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


def test_a_node_that_would_not_get_a_new_address_does_not_restart(new_cluster: NewCluster) -> None:
    node = started(new_cluster)
    text = node.config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        node.config.write_text(text.replace("[nbd]", f'[nbd]\nlisten = "{place}"'))
        assert f"can't serve NBD at {place} (nbd.listen): Address already in use" in refuses(node)
    node.config.write_text(text)
    assert restart(node).returncode == 0
    with node.client() as client:
        assert client.read(0, MIB) == DATA
