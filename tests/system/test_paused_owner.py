"""The owner's own process is stopped while its clients wait: that time is no waiting time."""

import signal
import time

import pytest

from ramsterd.client.nbd import NbdClient
from ramsterd.frontends.nbd.protocol import Command
from tests.system.arena import PAGE, marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.fill import fill_marked
from tests.system.reads import ask_for, take_answers

pytestmark = pytest.mark.timeout(120)

PAGES = 3000
WRITES = 64
WRITE_PAGES = 16
# Longer than any wait of the config, which is what is tested: 4 s for a put, 4 s for a get, 2 s for a request.
PAUSE_SECONDS = 6.0


@pytest.fixture
def pair(new_cluster: NewCluster) -> Cluster:
    """The pages of the first node are mostly at the second."""
    cluster = new_cluster(budgets=["4MiB", "64MiB"])
    cluster.start()
    fill_marked(cluster[1], PAGES)
    return cluster


def pause_owner_while_the_holder_works(cluster: Cluster) -> None:
    """Stop the owner; what it waits for comes meanwhile, and stays unread in its sockets."""
    owner, holder = cluster[1], cluster[2]
    owner.send_signal(signal.SIGSTOP)
    holder.send_signal(signal.SIGCONT)
    time.sleep(PAUSE_SECONDS)
    owner.send_signal(signal.SIGCONT)


def check_said_and_counted(owner: Node) -> None:
    wait_until(
        lambda: "the system did not run ramsterd for" in owner.log, "the pause is in the log"
    )
    status = owner.status()
    # Time passed for its peers, though: the failure detector knows that it slept, and judges nobody by that.
    assert status["heartbeat"]["detector"]["stalls_total"] >= 1
    pauses = status["pauses"]
    assert pauses["pauses_total"] >= 1
    assert pauses["paused_seconds_total"] >= PAUSE_SECONDS - 1.0


def test_reads_that_wait_are_answered_after_a_pause(pair: Cluster) -> None:
    owner, holder = pair[1], pair[2]
    holder.send_signal(signal.SIGSTOP)
    with owner.client() as client:
        asked = ask_for(client, range(256))
        wait_until(lambda: owner.status()["pager"]["waiting_gets"], "reads wait")
        pause_owner_while_the_holder_works(pair)
        for index, answer in take_answers(client, asked).items():
            assert answer == marked_page(index), index
    check_said_and_counted(owner)


def ask_to_write(client: NbdClient, number: int) -> None:
    first = PAGES + number * WRITE_PAGES
    payload = b"".join(marked_page(index) for index in range(first, first + WRITE_PAGES))
    client._ask(Command.WRITE, first * PAGE, len(payload), payload=payload)


def test_writes_that_wait_for_room_are_stored_after_a_pause(pair: Cluster) -> None:
    owner, holder = pair[1], pair[2]
    holder.send_signal(signal.SIGSTOP)
    with owner.client() as client:
        for number in range(WRITES):
            ask_to_write(client, number)
        wait_until(lambda: owner.status()["pager"]["waiting_puts"], "writes wait")
        pause_owner_while_the_holder_works(pair)
        for _ in range(WRITES):
            client._next_reply()  # raises on an error
        for index in range(PAGES, PAGES + WRITES * WRITE_PAGES, 16):
            assert client.read(index * PAGE, PAGE) == marked_page(index)
    assert owner.engine()["store"]["lost_pages_total"] == 0
    check_said_and_counted(owner)
