"""Five nodes on hosts of their own, two copies: whatever happens to one holder, a client notices nothing."""

import signal

import pytest

from tests.helpers.requirements import require_tool
from tests.system.arena import PAGE, marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, wait_until
from tests.system.hosts import at_risk_as_shown, pages_at_risk
from tests.system.namespaces import Network
from tests.system.verifier import Verifier

# Many waits, each with a bound of its own.
pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

MEBIBYTES_OF_FIO = 4
PAGES_OF_FIO = MEBIBYTES_OF_FIO * MIB // PAGE
# Pages behind those, which nobody reads or writes meanwhile: what becomes of them is the daemon's own work.
COLD = range(PAGES_OF_FIO, PAGES_OF_FIO + 512)
# A verdict takes seconds, and a rebuild competes with fio for two cores.
FAULT_SECONDS_MAX = 60.0


def verifying(cluster: Cluster) -> Verifier:
    return Verifier(cluster[1].uri, MEBIBYTES_OF_FIO, pass_seconds=1)


@pytest.fixture
def rack(new_rack: NewCluster) -> Cluster:
    """Five nodes; a third of the export fits the first, and two copies of it any three others."""
    require_tool("fio")
    cluster = new_rack(budgets=["2MiB", *["20MiB"] * 4], export="6MiB")
    cluster.start()
    with cluster[1].client() as client:
        client.write_stream(COLD[0] * PAGE, (marked_page(index) for index in COLD))
    return cluster


def wait_state(cluster: Cluster, number: int, *states: str) -> None:
    wait_until(
        lambda: cluster[1].states()[number] in states,
        f"node {number} is {' or '.join(states)}",
        seconds_max=FAULT_SECONDS_MAX,
    )


def wait_no_risk(cluster: Cluster) -> None:
    wait_until(
        lambda: pages_at_risk(cluster[1]) == 0, "no page is at risk", seconds_max=FAULT_SECONDS_MAX
    )


def wait_missing(cluster: Cluster, verifier: Verifier, number: int, what: str) -> None:
    """A holder is gone: that is noticed, two copies of everything are elsewhere, and fio went on all the while."""
    wait_state(cluster, number, "down")
    wait_no_risk(cluster)
    verifier.wait_whole_pass(what)


def wait_back(cluster: Cluster, number: int) -> None:
    wait_state(cluster, number, "up")
    wait_until(lambda: number in cluster[1].links(), f"a link to {number}", seconds_max=30.0)


def judge(cluster: Cluster) -> None:
    """Nothing was lost, refused or wrong on the way, and nothing is at risk, however one asks."""
    owner = cluster[1]
    wait_no_risk(cluster)
    with owner.client() as client:
        for index in COLD:
            assert client.read(index * PAGE, PAGE) == marked_page(index)
    assert at_risk_as_shown(owner) == (0, 0)
    now = owner.status()
    assert not any(now["nbd"]["errors_total"].values())
    assert now["engine"]["store"]["lost_pages_total"] == 0
    assert now["engine"]["fetch"]["fetched_pages_total"] > 1000


def test_killed_stopped_and_cut_holders_one_after_the_other(rack: Cluster, hosts: Network) -> None:
    with verifying(rack) as verifier:
        verifier.wait_whole_pass("before all faults")
        rack[2].kill()
        wait_missing(rack, verifier, 2, "with a killed holder")
        rack[2].start()
        rack[2].wait_ready()
        wait_back(rack, 2)
        rack[3].send_signal(signal.SIGSTOP)
        wait_missing(rack, verifier, 3, "with a stopped holder")
        rack[3].send_signal(signal.SIGCONT)
        wait_back(rack, 3)
        hosts.cut(4)
        wait_missing(rack, verifier, 4, "with a holder that is cut off")
        hosts.heal(4)
        wait_back(rack, 4)
    judge(rack)
    assert rack[1].engine()["rebuild"]["rebuilt_pages_total"] > 0


def test_a_cut_path_between_the_owner_and_a_holder(rack: Cluster, hosts: Network) -> None:
    """All others reach that holder, so nobody calls it down; the owner alone must do without.

    By the time that its link is given up fio has written everything anew elsewhere: nothing need be rebuilt.
    """
    with verifying(rack) as verifier:
        verifier.wait_whole_pass("before the cut")
        hosts.cut_pair(1, 5)
        wait_until(
            lambda: 5 not in rack[1].links(), "the link is given up", seconds_max=FAULT_SECONDS_MAX
        )
        verifier.wait_whole_pass("with a cut path")
        hosts.heal_pair(1, 5)
        wait_back(rack, 5)
    judge(rack)
