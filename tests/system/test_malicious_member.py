"""The owner of a page is who the link says it is.

Nodes 1 and 2 are real; node 1 keeps most of its pages at node 2.  Node 3 is a member with a good certificate and
bad manners: nothing that it can say, on any link or by heartbeat, reads or drops a page of node 1.
"""

import itertools
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.model import TlsConfig
from heartbeat.datagram import Datagram, DatagramKind, Message, Row, cluster_digest
from net.frame import LinkType
from net.packing import pack_fields
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from ramsterd.asking.messages import ALL_LIMITS
from ramsterd.core.page import PoolKind
from ramsterd.remote import wire
from ramsterd.remote.wire import MessageType
from tests.helpers.authority import Authority
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, wait_until
from tests.system.handmade import HandMade, context_of, frame, hello_of, later, linked
from tests.system.secured import secure, wait_for

SERIAL_MAX = wire.SERIAL_MAX
RAW = 1 << 13 | 4096
FOREVER = (1 << 64) - 1
RUNS = [random.Random(place).randbytes(MIB) for place in range(12)]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def tls(authority: Authority) -> TlsConfig:
    return authority.issue("n3")


@pytest.fixture
def cluster(new_cluster: NewCluster, authority: Authority) -> Cluster:
    made = new_three(new_cluster)
    secure(made, authority)
    return started(made)


@pytest.fixture
def plain_cluster(new_cluster: NewCluster) -> Cluster:
    """The same without TLS: who breaks a link a thousand times shakes no hands as often."""
    return started(new_three(new_cluster))


def new_three(new_cluster: NewCluster) -> Cluster:
    more = '[log.subsystems]\nheartbeat = "debug"'
    return new_cluster(budgets=["4MiB", "32MiB", "4MiB"], more=more)


def started(cluster: Cluster) -> Cluster:
    """Start nodes 1 and 2, most pages of 1 at 2; node 3 is not started: it is the test."""
    for number in (1, 2):
        cluster[number].start()
    for number in (1, 2):
        cluster[number].wait_ready()
    wait_until(lambda: (cluster[1].links(), cluster[2].links()) == ({2}, {1}), "1 and 2 are linked")
    with cluster[1].client() as client:
        for place, run in enumerate(RUNS):
            client.write(place * MIB, run)
    wait_until(lambda: pages_of_1(cluster) > 1500, "node 2 keeps pages of node 1")
    return cluster


def pages_of_1(cluster: Cluster) -> int:
    return sum(each["pages"] for each in cluster[2].engine()["foreign"] if each["node"] == "n1")


def check_unharmed(cluster: Cluster) -> None:
    """Every page of node 1 is as it was written, and none was lost on the way."""
    assert (1 in cluster[2].links(), 2 in cluster[1].links()) == (True, True)
    with cluster[1].client() as client:
        for place, run in enumerate(RUNS):
            assert client.read(place * MIB, MIB) == run
    for number in (1, 2):
        engine = cluster[number].engine()
        assert engine["store"]["lost_pages_total"] == 0
        assert engine["fetch"]["corrupt_pages_total"] == 0
        assert engine["nodes"]["new_incarnations_total"] == 0
        assert "bug of ours" not in cluster[number].log
    cluster[2].ask("verify", invariants=True)
    wait_until(lambda: not cluster[2].engine()["audit"]["is_running"], "the tables are checked")
    assert cluster[2].engine()["audit"]["problem"] == ""


def all_serials() -> Iterator[list[int]]:
    """Yield runs of serials that cover whatever node 1 may have used."""
    for first in range(1, 8192, wire.PAGES_PER_FRAME_MAX):
        yield list(range(first, first + wire.PAGES_PER_FRAME_MAX))


def test_get_finds_nothing_and_flush_drops_nothing(cluster: Cluster, tls: TlsConfig) -> None:
    before = pages_of_1(cluster)
    with linked(cluster[2].port, tls, hello_of(3)) as link:
        for serials in all_serials():
            answer = link.ask(
                MessageType.GET_PAGES, count=len(serials), table=wire.get_table(serials)
            )
            assert answer is not None
            header, table, body = answer
            assert (header[5], table, body) == (len(serials), bytes(2 * len(serials)), b"")
        everything = wire.flush_table([(1, SERIAL_MAX)])
        link.send(frame(MessageType.FLUSH_PAGES, count=1, table=everything))
        link.send(
            frame(MessageType.FLUSH_OWNER, count=1, table=wire.owner_table(Incarnation(FOREVER)))
        )
        # An answer to this shows that the others were handled.
        assert link.ask(MessageType.GET_PAGES, count=1, table=wire.get_table([1])) is not None
    assert pages_of_1(cluster) >= before
    check_unharmed(cluster)


def test_put_under_the_same_serials_replaces_nothing(cluster: Cluster, tls: TlsConfig) -> None:
    serials = list(range(1, 65))
    mine = bytes(4096)
    with linked(cluster[2].port, tls, hello_of(3)) as link:
        table = wire.put_table(PoolKind.PERSISTENT, serials, [7] * 64, [RAW] * 64)
        answer = link.ask(MessageType.PUT_PAGES, count=64, table=table, body=mine * 64)
        assert answer is not None
        assert answer[1] == bytes(64), "stored"
        got = link.ask(MessageType.GET_PAGES, count=64, table=wire.get_table(serials))
        assert got is not None
        assert got[2] == mine * 64, "its own, as it put them"
    check_unharmed(cluster)


def tables() -> Iterator[tuple[int, bytes]]:
    """Yield (count, table) of every shape that messages between nodes have or may come to have."""
    serials = list(range(1, 65))
    words = struct.pack("<64Q", *serials)
    yield 64, words
    yield 32, words
    yield 1, wire.flush_table([(1, SERIAL_MAX)])
    yield 64, wire.put_table(PoolKind.PERSISTENT, serials, serials, [RAW] * 64)
    yield 64, bytes(2 * 64)
    yield 64, bytes(64)
    for word in (0, 1, 2, SERIAL_MAX, FOREVER):
        yield 1, struct.pack("<Q", word)
        yield 1, struct.pack("<QQ", 1, word)
    for fields in ([], [1], [2], [1, 0, 0], [0, 0, True, 0.0, 0], ["n1"], [1, FOREVER]):
        yield 1, pack_fields(fields)
        yield 0, pack_fields(fields)


def abuse() -> Iterator[bytes]:
    """Yield every type of frame with every table, as a message, as a request, and as a reply."""
    bodies = (b"", bytes(64 * 4096))
    for (kind, limits), (count, table), body, (number, is_reply) in itertools.product(
        ALL_LIMITS.items(), tables(), bodies, ((0, False), (5, False), (5, True))
    ):
        if (
            count <= limits.count_max
            and len(table) <= limits.table_bytes_max
            and len(body) <= limits.body_bytes_max
        ):
            yield frame(
                kind, count=count, table=table, body=body, request_id=number, is_reply=is_reply
            )
    for kind in LinkType:
        yield frame(kind, table=pack_fields(["n1"]))


@pytest.mark.timeout(180)
def test_no_frame_of_any_type_reads_or_drops_them(plain_cluster: Cluster) -> None:
    """Also those that come to be: each type that the daemon knows is tried with each table."""
    cluster = plain_cluster
    before = pages_of_1(cluster)
    hello = hello_of(3)
    for port in (cluster[2].port, cluster[1].port):
        link = linked(port, None, hello)
        for data in abuse():
            try:
                link.send(data)
                # Answered or refused: only then it has been handled.
                alive = link.ask(MessageType.GET_PAGES, count=1, table=wire.get_table([1]))
            except OSError:
                alive = None
            if alive is None:
                link.socket.close()
                hello = later(hello)
                link = linked(port, None, hello)
            else:
                assert alive[2] in (b"", bytes(4096)), "nothing, or what it put itself"
        link.socket.close()
    assert pages_of_1(cluster) >= before
    assert "a bug" not in cluster[1].log + cluster[2].log
    for number in (1, 2):
        # It said new incarnations of itself again and again; no other node may have got one.
        rows = {row["config"]["number"]: row for row in cluster[number].ask("nodes")}
        assert rows[3 - number]["state"] == "up"
    with cluster[1].client() as client:
        for place, run in enumerate(RUNS):
            assert client.read(place * MIB, MIB) == run


def test_answers_that_nobody_asked_it_for_count_for_nothing(
    cluster: Cluster, tls: TlsConfig
) -> None:
    """It guesses the numbers of node 1's requests to node 2, while those are under way."""
    lies = [
        frame(
            MessageType.GET_PAGES, count=1, table=struct.pack("<H", RAW), body=b"\xee" * 4096,
            request_id=number, is_reply=True,
        )
        for number in range(1, 3000)
    ]  # fmt: skip
    with linked(cluster[1].port, tls, hello_of(3)) as link, cluster[1].client() as client:
        for place, run in enumerate(RUNS):
            link.send(b"".join(lies[250 * place : 250 * (place + 1)]))
            assert client.read(place * MIB, MIB) == run
        assert link.ask(MessageType.GET_PAGES, count=1, table=wire.get_table([1])) is not None
    check_unharmed(cluster)


def lies_by_heartbeat(cluster: Cluster, about: int, counter: Iterator[int]) -> Iterator[bytes]:
    for state, incarnation in itertools.product(
        (NodeState.UP, NodeState.SUSPECT, NodeState.DOWN), (1 << 50, FOREVER)
    ):
        row = Row(NodeId(about), state, Incarnation(incarnation), 7, NodeId(about))
        message = Message(
            kind=DatagramKind.GOSSIP,
            node=NodeId(3),
            incarnation=Incarnation(1 << 50),
            refutation=0,
            target=NodeId(3 - about),
            probe=0,
            subject=NodeId(3 - about),
            rows=(row,),
        )
        yield Datagram(
            message=message, cluster=cluster_digest("test"), counter=next(counter)
        ).encode()


def test_a_new_incarnation_that_only_gossip_speaks_of_ends_no_old_one(cluster: Cluster) -> None:
    """A new incarnation of an owner ends what is kept for it, so none may say it but the owner, over its own link."""
    before = pages_of_1(cluster)
    counter = itertools.count(1)
    with socket.socket(type=socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", cluster[3].port))
        for about in (1, 2):
            for lie in lies_by_heartbeat(cluster, about, counter):
                liar.sendto(lie, ("127.0.0.1", cluster[3 - about].port))
    for about in (1, 2):
        wait_for(cluster[3 - about], f"ramster.heartbeat: node n{about} is up: restarted")
    assert pages_of_1(cluster) >= before
    check_unharmed(cluster)


def test_a_stranger_without_a_certificate_says_nothing_at_all(cluster: Cluster) -> None:
    """TLS 1.3: its own side of the handshake ends before ours has judged it, so it may send; nobody reads that."""
    with HandMade(cluster[2].port, context_of(None)) as link:
        try:
            assert link.greet(hello_of(3)) is None
        except OSError:
            pass
    wait_until(lambda: "the peer showed no certificate" in cluster[2].log, "the reason is told")
    check_unharmed(cluster)
