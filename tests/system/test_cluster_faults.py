"""Faults between real daemons: killed, stopped, started again."""

import errno
import random
import signal

import pytest

from ramsterd.client.nbd import HandshakeFailed, NbdClient, RequestFailed
from ramsterd.frontends.nbd.protocol import Command
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, wait_until
from tests.system.reads import ask_for, take_answers

PAGE = 4096
PAGES = 2048  # 8 MiB that do not shrink: four times the budget of node 1


def content(index: int, version: int = 0) -> bytes:
    """Return a page that compresses to about three quarters, different for each index and version."""
    rng = random.Random(index * 1000 + version)
    return rng.randbytes(PAGE - PAGE // 8) + bytes(PAGE // 8)


def fill(client: NbdClient, pages: range = range(PAGES), version: int = 0) -> None:
    client.write_stream(pages[0] * PAGE, (content(index, version) for index in pages))


def read_page(client: NbdClient, index: int) -> bytes | int:
    """Return a page, or the errno of the refusal."""
    try:
        return client.read(index * PAGE, PAGE)
    except RequestFailed as error:
        return error.errno


def judge(client: NbdClient, version: int = 0) -> tuple[int, int]:
    """Read every page; return how many were right and how many answered EIO; anything else is wrong."""
    right = lost = 0
    for start in range(0, PAGES, 256):
        answers = take_answers(client, ask_for(client, range(start, start + 256)))
        right += sum(page == content(index, version) for index, page in answers.items())
        lost += sum(page == errno.EIO for page in answers.values())
    assert right + lost == PAGES
    return right, lost


def wait_settled(cluster: Cluster) -> None:
    wait_until(
        lambda: not cluster[1].engine()["remotify"]["pages_in_flight"], "nothing is in flight"
    )


@pytest.fixture
def trio_of_nodes(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["2MiB", "16MiB", "16MiB"])
    cluster.start()
    return cluster


def test_killed_holder_costs_its_pages_and_no_others(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["2MiB", "16MiB"])
    cluster.start()
    with cluster[1].client() as client:
        fill(client)
        wait_settled(cluster)
        held = cluster[2].foreign_pages()
        assert held > PAGES // 2
        cluster[2].kill()
        assert judge(client) == (PAGES - held, held)
        # Unreachable is not lost: nobody knows yet that it will never come back.
        assert cluster[1].engine()["store"]["lost_pages_total"] == 0
        cluster[2].start()
        cluster[2].wait_ready()
        cluster.wait_linked()
        wait_until(
            lambda: cluster[1].engine()["store"]["lost_pages_total"] == held, "the loss is counted"
        )
        assert judge(client)[1] == held
        fill(client, version=1)
        assert judge(client, version=1) == (PAGES, 0)


def test_reads_under_way_to_a_holder_that_is_killed_end_with_eio(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["2MiB", "16MiB"])
    cluster.start()
    with cluster[1].client() as client, cluster[1].client() as other:
        fill(client)
        wait_settled(cluster)
        cluster[2].send_signal(signal.SIGSTOP)
        asked = ask_for(client, range(128))
        wait_until(lambda: cluster[1].engine()["fetch"]["requests_in_flight"], "a GET is under way")
        cluster[2].kill()
        answers = take_answers(client, asked)
        assert set(answers.values()) == {errno.EIO}
        # The daemon and its other client are as before.
        assert read_page(other, PAGES - 1) == content(PAGES - 1)
        # Few: with nobody to send pages to, what is free above the high watermark must do.
        fill(client, range(16), version=1)
        assert read_page(other, 0) == content(0, version=1)


def test_dead_peer_blocks_nobody(trio_of_nodes: Cluster) -> None:
    """While one holder sleeps, pages of the other come; when it wakes, all is right again."""
    cluster = trio_of_nodes
    owner, sleeper = cluster[1], cluster[2]
    with owner.client() as client:
        fill(client)
        wait_settled(cluster)
        assert owner.pages_at(2)
        assert owner.pages_at(3)
        sleeper.send_signal(signal.SIGSTOP)
        asked = ask_for(client, range(0, PAGES, PAGES // 256))
        answers = take_answers(client, asked)
        good = [index for index, page in answers.items() if page == content(index)]
        bad = [index for index, page in answers.items() if page == errno.EIO]
        assert good
        assert bad
        assert len(good) + len(bad) == len(asked)
        assert list(answers) == [*good, *bad], "a page waited behind those of the sleeper"
        # Pages find another way out meanwhile.
        fill(client, range(256), version=1)
        sleeper.send_signal(signal.SIGCONT)
        cluster.wait_linked()
        wait_until(lambda: set(owner.states().values()) == {"up"}, "all are up again")
        for index in range(PAGES):
            assert read_page(client, index) == content(index, version=int(index < 256))
        assert owner.engine()["store"]["lost_pages_total"] == 0


def test_owner_death_purges(trio_of_nodes: Cluster) -> None:
    """A new incarnation of an owner ends what its old incarnation left at holders."""
    cluster = trio_of_nodes
    with cluster[1].client() as client:
        fill(client)
        wait_settled(cluster)
        held = [cluster[number].foreign_pages() for number in (2, 3)]
        assert all(held)
        cluster[1].kill()
    assert [cluster[number].foreign_pages() for number in (2, 3)] == held
    cluster[1].start()
    cluster[1].wait_ready()
    cluster.wait_linked()
    for number, pages in zip((2, 3), held, strict=True):
        assert cluster[number].foreign_pages() == 0
        assert cluster[number].engine()["foreign_purged_pages_total"] >= pages
    with pytest.raises(HandshakeFailed):
        cluster[1].client()
    cluster[1].reset_export()
    with cluster[1].client() as client:
        assert read_page(client, 0) == bytes(PAGE)
        fill(client, version=1)
        assert judge(client, version=1) == (PAGES, 0)


def test_owner_that_stops_in_order_leaves_no_foreign_pages(trio_of_nodes: Cluster) -> None:
    """In the middle of writing too: the farewell comes after all that is queued."""
    cluster = trio_of_nodes
    client = cluster[1].client()
    fill(client)
    for index in range(512):
        payload = content(index, version=1)
        client._ask(Command.WRITE, index * PAGE, PAGE, payload=payload)
    cluster[1].stop()
    client._sock.close()
    wait_until(
        lambda: not cluster[2].foreign_pages() and not cluster[3].foreign_pages(),
        "no foreign pages",
        seconds_max=2.0,
    )


def test_holder_that_stops_in_order_says_what_is_lost(trio_of_nodes: Cluster) -> None:
    cluster = trio_of_nodes
    with cluster[1].client() as client:
        fill(client)
        wait_settled(cluster)
        held = cluster[2].foreign_pages()
        cluster[2].stop()
        assert f"{held} pages of other nodes end with this stop" in cluster[2].log
        assert judge(client) == (PAGES - held, held)


def test_nodes_start_in_any_order(new_cluster: NewCluster) -> None:
    """Highest first, while the first is in use already: a node that comes is linked and used."""
    cluster = new_cluster(budgets=["16MiB", "16MiB", "2MiB"])
    cluster[3].start()
    cluster[3].wait_ready()
    with cluster[3].client() as client:
        fill(client, range(64))
        cluster[1].start()
        cluster[1].wait_ready()
        wait_until(lambda: cluster[3].links() == {1}, "node 3 and 1 are linked")
        fill(client)
        cluster[2].start()
        cluster[2].wait_ready()
        cluster.wait_linked()
        fill(client, version=1)
        assert judge(client, version=1) == (PAGES, 0)
        wait_until(cluster[2].foreign_pages, "the newcomer is used")


def test_full_node_refuses_writes_and_keeps_what_it_took(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["2MiB"])
    cluster.start()
    rng = random.Random(7)
    taken: dict[int, bytes] = {}
    with cluster[1].client() as client:
        for index in range(1024):
            page = rng.randbytes(PAGE)
            outcome = write_page(client, index, page)
            assert outcome in {0, errno.ENOSPC}
            if not outcome:
                taken[index] = page
        # Raw pages, in a budget of 512 frames.
        assert 400 < len(taken) <= 512
        for index in range(1024):
            assert read_page(client, index) == taken.get(index, bytes(PAGE))
        assert cluster[1].engine()["store"]["zbud"]["resident_bytes"] <= 2 * MIB
        client.trim(0, 1024 * PAGE)
        assert read_page(client, 1000) == bytes(PAGE)
        for index in range(256):
            client.write(index * PAGE, content(index))
        for index in range(256):
            assert read_page(client, index) == content(index)


def test_part_of_a_page_that_finds_no_room_leaves_the_rest_of_it(new_cluster: NewCluster) -> None:
    """A write of one sector is refused: the sectors around it were acknowledged and stay."""
    cluster = new_cluster(budgets=["2MiB"])
    cluster.start()
    rng = random.Random(7)
    with cluster[1].client() as client:
        client.write(0, b"A" * 512)
        outcomes = [write_page(client, index, rng.randbytes(PAGE)) for index in range(1, 1024)]
        assert outcomes[-1] == errno.ENOSPC
        taken = b"A" * 512
        for sector in range(1, 8):
            piece = rng.randbytes(512)
            try:
                client.write(sector * 512, piece)
            except RequestFailed:
                break
            taken += piece
        assert len(taken) < PAGE, "nothing was refused"
        assert client.read(0, len(taken)) == taken


def write_page(client: NbdClient, index: int, page: bytes) -> int:
    """Write a page and return the errno, 0 when it was taken."""
    try:
        client.write(index * PAGE, page)
    except RequestFailed as error:
        return error.errno
    return 0
