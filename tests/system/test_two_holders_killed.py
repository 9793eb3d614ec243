"""Two of five nodes die in the same moment: with two copies exactly the pages that both had are gone."""

import errno
import signal
from collections.abc import Collection

import pytest

from ramsterd.client.nbd import NbdClient
from tests.system.arena import PAGE, marked_page, pages_in_memory
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.hosts import metrics
from tests.system.reads import ask_for, take_answers

# Many waits, each with a bound of its own.
pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

PAGES = 5000
# Trimmed again, so that there is room for pages to come home.
TRIMMED = range(PAGES - 200, PAGES)
KEPT = range(TRIMMED[0])
DEAD = (2, 3)
HOLDERS = (2, 3, 4, 5)
# Pages of the two that will die which are here as well when it happens.
AT_HOME_TOO = 32


@pytest.fixture
def rack(new_rack: NewCluster) -> Cluster:
    """Five nodes, the default of two copies, and time enough for every answer."""
    cluster = new_rack(
        budgets=["4MiB", *["40MiB"] * 4],
        export="24MiB",
        # Read ahead, a page could be had when its holders are gone.
        remote="request_seconds_max = 60.0\nput_wait_seconds_max = 60.0\nread_ahead_bytes_max = 0",
    )
    cluster.start()
    return cluster


def fill(client: NbdClient) -> None:
    client.write_stream(0, (marked_page(index) for index in range(PAGES)))
    client.trim(TRIMMED[0] * PAGE, len(TRIMMED) * PAGE)
    client.nbd_flush()


def wait_settled(owner: Node) -> None:
    wait_until(
        lambda: (
            not owner.engine()["remotify"]["pages_in_flight"] and not owner.engine()["flushes_owed"]
        ),
        "nothing is under way",
        seconds_max=60.0,
    )


def unreadable(client: NbdClient) -> set[int]:
    """Read every page by itself; return those that answer EIO.  All others are right."""
    refused = set[int]()
    for start in range(0, len(KEPT), 256):
        asked = range(start, min(start + 256, len(KEPT)))
        for index, answer in take_answers(client, ask_for(client, asked)).items():
            if answer == errno.EIO:
                refused.add(index)
            else:
                assert answer == marked_page(index), index
    return refused


def find_copies(cluster: Cluster) -> dict[int, set[int]]:
    """Return, for each page that is not at home, which nodes have it in their memory."""
    found = {number: pages_in_memory(cluster[number]) for number in HOLDERS}
    for number, pages in found.items():
        assert len(pages) == cluster[number].foreign_pages(), (
            "no more and no less than its books say"
        )
    away = set().union(*found.values())
    copies = {index: {each for each in HOLDERS if index in found[each]} for index in away}
    assert {len(nodes) for nodes in copies.values()} == {2}
    families = cluster[1].engine()["store"]["zpages"]
    assert families["own_clean"] == 0
    assert families["own_persistent"] == len(set(KEPT) - away)
    return copies


def localify(owner: Node, client: NbdClient, pages: Collection[int]) -> None:
    """Read pages that peers have, and see that each is kept here too."""
    for index in pages:
        assert client.read(index * PAGE, PAGE) == marked_page(index)
    assert owner.engine()["store"]["zpages"]["own_clean"] == len(pages)


def kill_at_once(cluster: Cluster) -> None:
    for number in DEAD:
        cluster[number].send_signal(signal.SIGKILL)
    for number in DEAD:
        cluster[number].kill()


def test_exactly_the_pages_of_two_dead_holders_answer_eio(rack: Cluster) -> None:
    owner = rack[1]
    with owner.client() as client:
        fill(client)
        wait_settled(owner)
        copies = find_copies(rack)
        of_the_dead = sorted(index for index, nodes in copies.items() if nodes == set(DEAD))
        assert len(of_the_dead) > 2 * AT_HOME_TOO
        at_home_too = of_the_dead[:: len(of_the_dead) // AT_HOME_TOO][:AT_HOME_TOO]
        localify(owner, client, at_home_too)
        gone = set(of_the_dead) - set(at_home_too)

        kill_at_once(rack)
        # While what has one copy left is copied again, and once more when that is over.
        assert unreadable(client) == gone
        wait_until(
            lambda: metrics(owner)["ramster_pages_at_risk"] == len(gone),
            "all that can be saved has two copies again",
            seconds_max=60.0,
        )
        assert unreadable(client) == gone
        assert owner.status()["nbd"]["errors_total"]["EIO"] == 2 * len(gone)
        assert owner.engine()["store"]["lost_pages_total"] == 0, "out of reach is not lost"

        # They come back with nothing: now it is known, and counted once.
        for number in DEAD:
            rack[number].start()
        for number in DEAD:
            rack[number].wait_ready()
        rack.wait_linked()
        wait_until(
            lambda: metrics(owner)["ramster_lost_pages_total"] == len(gone), "the loss is counted"
        )
        assert unreadable(client) == gone
        wait_until(lambda: metrics(owner)["ramster_pages_at_risk"] == 0, "no page is at risk")
        assert owner.engine()["store"]["lost_pages_total"] == len(gone)
