"""A daemon whose clock was ahead, or is behind: its next start is the newer incarnation all the same."""

import shutil

import pytest

from tests.helpers.programs import changed_by
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until

DAY = 24 * 3600


def with_clock(seconds: int) -> list[str]:
    """Return what runs a daemon whose wall clock is so much ahead."""
    return changed_by(f"""
import time
real = time.time_ns
time.time_ns = lambda: real() + {seconds} * 10**9
""")


def incarnation(node: Node) -> int:
    return int(node.status()["incarnation"])


@pytest.mark.parametrize("number", [1, 2], ids=["it is dialled", "it dials"])
@pytest.mark.parametrize("behind", [0, 20 * 365 * DAY], ids=["set right", "reset to long ago"])
@pytest.mark.parametrize("keeps_state", [True, False], ids=["with a state file", "without"])
def test_a_node_whose_clock_goes_back_between_two_starts_is_linked_again(
    new_cluster: NewCluster, number: int, behind: int, keeps_state: bool
) -> None:
    cluster: Cluster = new_cluster(budgets=["16MiB", "16MiB"])
    node, other = cluster[number], cluster[3 - number]
    node.program = with_clock(DAY)
    cluster.start()
    before = incarnation(node)
    node.kill()
    if not keeps_state:
        shutil.rmtree(node.config.with_name(f"{node.name}-state"))
    node.program = with_clock(-behind)
    node.start()
    node.wait_ready()
    wait_until(lambda: number in other.links(), "it is linked again", seconds_max=30)
    wait_until(lambda: other.states()[number] == "up", "it is up", seconds_max=30)
    assert incarnation(node) > before
    # Its own note is enough; without it the other one says which incarnation it knows.
    assert ("continues with a new incarnation" in node.log) is not keeps_state
    assert node.status()["incarnation_floors"]["newest"] == 0
