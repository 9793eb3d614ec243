"""A holder that hangs (SIGSTOP) is as good as dead, until it goes on in the same incarnation."""

import signal

import pytest

from tests.system.arena import marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.fill import fill_marked
from tests.system.hosts import pages_at_risk
from tests.system.reads import ask_for, take_answers

# Many waits, each with a bound of its own.
pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

PAGES = 3000
STOPPED = 3
FAULT_SECONDS_MAX = 60.0


@pytest.fixture
def rack(new_rack: NewCluster) -> Cluster:
    """Five nodes with two copies of nearly all pages; nothing comes home by itself."""
    cluster = new_rack(
        budgets=["4MiB", *["40MiB"] * 4], export="16MiB", remote="repatriate_pages_per_second = 0"
    )
    cluster.start()
    fill_marked(cluster[1], PAGES)
    return cluster


def read_all(owner: Node) -> None:
    """Every page, 256 asked for at a time, is what was written."""
    with owner.client() as client:
        for start in range(0, PAGES, 256):
            asked = ask_for(client, range(start, min(start + 256, PAGES)))
            for index, answer in take_answers(client, asked).items():
                assert answer == marked_page(index), index


def incarnation(owner: Node, number: int) -> int:
    (row,) = (row for row in owner.ask("nodes") if row["config"]["number"] == number)
    return int(row["incarnation"])


def wait_state(owner: Node, state: str) -> None:
    wait_until(
        lambda: owner.states()[STOPPED] == state,
        f"node {STOPPED} is {state}",
        seconds_max=FAULT_SECONDS_MAX,
    )


def wait_no_risk(owner: Node) -> None:
    wait_until(
        lambda: pages_at_risk(owner) == 0, "no page is at risk", seconds_max=FAULT_SECONDS_MAX
    )


def test_a_stopped_holder_is_hedged_rebuilt_elsewhere_and_taken_back(rack: Cluster) -> None:
    owner, holder = rack[1], rack[STOPPED]
    held, before = holder.foreign_pages(), incarnation(owner, STOPPED)
    assert held == owner.pages_at(STOPPED) > PAGES // 4

    holder.send_signal(signal.SIGSTOP)
    # At once, while it is still up to everybody: what it does not answer comes from the other copy.
    assert owner.states()[STOPPED] == "up"
    read_all(owner)
    fetch = owner.engine()["fetch"]
    assert fetch["hedged_pages_total"] > 0
    assert fetch["unreachable_pages_total"] == 0

    wait_state(owner, "down")
    wait_no_risk(owner)
    assert owner.engine()["rebuild"]["rebuilt_pages_total"] > 0
    # It is needed for nothing: another one may die as well.
    rack[4].kill()
    read_all(owner)
    wait_until(lambda: owner.states()[4] == "down", "node 4 is down", seconds_max=30.0)
    wait_no_risk(owner)

    holder.send_signal(signal.SIGCONT)
    wait_state(owner, "up")
    assert incarnation(owner, STOPPED) == before
    wait_until(
        lambda: holder.foreign_pages() == owner.pages_at(STOPPED),
        "the surplus is flushed, and nothing else",
        seconds_max=30.0,
    )
    assert holder.foreign_pages() < held
    read_all(owner)
    now = owner.status()
    assert now["engine"]["store"]["lost_pages_total"] == 0
    assert not any(now["nbd"]["errors_total"].values())
