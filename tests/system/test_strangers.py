"""Who dials and is nobody: cut off within a bound, with a reason, and nobody else notices."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from net.frame import LinkType, encode_header
from nodemanager.ids import Incarnation
from nodemanager.incarnations import show_start
from tests.helpers.authority import Authority
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, wait_until
from tests.system.handmade import HandMade, context_of, frame, hello_of
from tests.system.secured import secure, wait_for

# What the daemon allows, and time for a busy machine.
END_SECONDS_MAX = 15.0
STRANGERS = 100

Dial = Callable[[int, Authority], socket.socket]


def plain(port: int, data: bytes = b"") -> socket.socket:
    stranger = socket.create_connection(("127.0.0.1", port), END_SECONDS_MAX)
    stranger.sendall(data)
    return stranger


def sealed(port: int, context: ssl.SSLContext, data: bytes = b"") -> socket.socket:
    stranger = context.wrap_socket(plain(port))
    stranger.sendall(data)
    return stranger


def old_tls(authority: Authority) -> ssl.SSLContext:
    context = context_of(authority.issue("n3"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


DIALS: dict[str, tuple[Dial, str]] = {
    "says nothing": (lambda port, _: plain(port), "no HELLO within 5 s"),
    "sends garbage": (
        lambda port, _: plain(port, bytes(range(256))),
        "the peer does not use TLS; this node has [tls] set",
    ),
    "speaks HTTP": (
        lambda port, _: plain(port, b"GET / HTTP/1.1\r\n\r\n"),
        "the peer uses HTTP, not TLS",
    ),
    "begins a TLS record and waits": (
        lambda port, _: plain(port, b"\x16\x03\x01\x02\x00\x01"),
        "no HELLO within 5 s",
    ),
    "has no certificate": (
        lambda port, _: sealed(port, context_of(None)),
        "the peer showed no certificate",
    ),
    "has a certificate and says nothing": (
        lambda port, ours: sealed(port, context_of(ours.issue("n3"))),
        "no HELLO within 5 s",
    ),
    "has a certificate and sends garbage": (
        lambda port, ours: sealed(port, context_of(ours.issue("n3")), bytes(range(256))),
        "protocol error: magic 0x0100, expected 0x3252",
    ),
    "has a certificate and claims a frame of 4 GiB": (
        lambda port, ours: sealed(
            port,
            context_of(ours.issue("n3")),
            encode_header(LinkType.HELLO, table_bytes=(1 << 32) - 1),
        ),
        "in frame type 1, at most 2048",
    ),
    "has a certificate and begins with pages": (
        lambda port, ours: sealed(port, context_of(ours.issue("n3")), frame(18, count=1)),
        "frame type 18, which is unknown or not allowed yet",
    ),
}


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def cluster(new_cluster: NewCluster, ours: Authority) -> Iterator[Cluster]:
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    secure(cluster, ours)
    cluster.start()
    yield cluster
    for node in cluster:
        assert node.links() == {3 - node.number}, "nobody else notices"
        assert "Traceback" not in node.log


def wait_closed(stranger: socket.socket) -> None:
    """Read what it is told until the daemon closes; fail when it does not in time."""
    with contextlib.suppress(ConnectionError, ssl.SSLError), stranger:
        while stranger.recv(4096):
            pass


@pytest.mark.parametrize(("dial", "reason"), DIALS.values(), ids=DIALS)
def test_a_stranger_is_cut_off(cluster: Cluster, ours: Authority, dial: Dial, reason: str) -> None:
    node = cluster[1]
    stranger = dial(node.port, ours)
    where = f"connection from 127.0.0.1 port {stranger.getsockname()[1]} ended after"
    wait_closed(stranger)
    wait_for(node, where)
    line = next(line for line in node.log.splitlines() if where in line)
    assert reason in line


def test_a_client_of_old_tls_is_refused(cluster: Cluster, ours: Authority) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        sealed(cluster[1].port, old_tls(ours))
    wait_for(cluster[1], "the peer uses a TLS version before 1.3")


def test_a_crowd_of_silent_strangers_keeps_no_member_out(cluster: Cluster) -> None:
    """More than may wait at a time, and they come again; node 2 restarts and is let in at once."""
    with contextlib.ExitStack() as crowd:
        for _ in range(STRANGERS):
            crowd.enter_context(plain(cluster[1].port))
        wait_for(cluster[1], "closed to make room: too many connections without a greeting")
        cluster[2].stop()
        log = cluster[1].log.count("link is up")
        cluster[2].start()
        cluster[2].wait_ready()
        for _ in range(STRANGERS):
            crowd.enter_context(plain(cluster[1].port))
        wait_until(lambda: cluster[1].links() == {2}, "node 2 is linked")
        wait_until(lambda: cluster[1].log.count("link is up") == log + 1, "its link is said")
        # At most so many lines a minute, whatever strangers do.
        assert cluster[1].log.count("connection from 127.0.0.1") <= 2 * 60
        counts = cluster[1].status()["listener"]
        assert counts["greeting_connections"] <= 64
        assert counts["displaced_connections_total"] >= STRANGERS - 64
        wait_until(
            lambda: (
                cluster[1].status()["listener"]["failed_connections_total"]
                >= counts["displaced_connections_total"]
            ),
            "those displaced have failed",
        )
    wait_until(lambda: cluster[2].links() == {1}, "and stays so")


def test_a_member_that_greets_twice_loses_its_link_only(cluster: Cluster, ours: Authority) -> None:
    """A stranger with the certificate of node 2: an earlier incarnation is refused, and its own while its link lives."""
    present = int(cluster[2].status()["incarnation"])
    reasons = {
        1: (
            f"node n2 started at {show_start(Incarnation(1))},"
            f" and a later start at {show_start(Incarnation(present))} is known here"
        ),
        present: "a second link of this node: the first one is open",
    }
    for incarnation, reason in reasons.items():
        with HandMade(cluster[1].port, context_of(ours.issue("n2"))) as twin:
            answer = twin.greet(hello_of(2, incarnation=incarnation))
            assert answer is not None
            assert answer[0][2] == LinkType.REJECT
            assert reason.encode() in answer[1]
        wait_for(cluster[1], f"refused node n2 (2): {reason}")
