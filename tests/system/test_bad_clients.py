"""Clients and strangers that misbehave: clients that behave notice nothing."""

import random
import socket
import struct
from collections.abc import Callable

import pytest

from ramsterd.client.nbd import NbdError
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until

PAGE = 4096
STRANGERS = 100


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["2MiB", "16MiB"])
    cluster.start()
    return cluster


def connect(path_or_port: str | int) -> socket.socket:
    if isinstance(path_or_port, int):
        return socket.create_connection(("127.0.0.1", path_or_port))
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(path_or_port)
    return client


def send_garbage(node: Node, rng: random.Random) -> None:
    """Say things that no protocol of ours has, at every endpoint."""
    for endpoint in (str(node.nbd), str(node.control), node.port):
        with connect(endpoint) as stranger:
            stranger.sendall(rng.randbytes(rng.randrange(1, 3000)))
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.sendto(rng.randbytes(rng.randrange(1, 200)), ("127.0.0.1", node.port))


def leave_early(node: Node, rng: random.Random) -> None:
    for endpoint in (str(node.nbd), str(node.control), node.port):
        connect(endpoint).close()


def send_half_a_request(node: Node, rng: random.Random) -> None:
    """Announce a WRITE of 64 KiB, send a part of it and leave."""
    client = node.client()
    header = struct.pack(">IHHQQI", 0x25609513, 0, 1, 7, 0, 65536)
    client._sock.sendall((header + rng.randbytes(65536))[: rng.randrange(1, 65536)])
    client._sock.close()


def ask_and_leave(node: Node, rng: random.Random) -> None:
    """Ask for pages that a peer has, and do not stay for the answer."""
    client = node.client()
    for index in range(64):
        client._sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, index, index * PAGE, PAGE))
    client._sock.close()


@pytest.mark.parametrize(
    "misbehave", [send_garbage, leave_early, send_half_a_request, ask_and_leave]
)
def test_others_notice_nothing(
    cluster: Cluster, misbehave: Callable[[Node, random.Random], None]
) -> None:
    rng = random.Random(1)
    noise = rng.randbytes(8 * 1024 * 1024)
    node = cluster[1]
    with node.client() as client:
        client.write_stream(0, [noise])
        for _ in range(STRANGERS):
            misbehave(node, rng)
            offset = rng.randrange(len(noise) // PAGE) * PAGE
            # Half a request is at offset 0 and must not have been carried out.
            assert client.read(offset, PAGE) == noise[offset : offset + PAGE]
        assert b"".join(client.read_stream(0, len(noise))) == noise
    wait_until(lambda: node.status()["nbd"]["connections"] == 0, "all strangers are gone")
    assert node.status()["nbd"]["requests_in_flight"] == 0
    assert node.links() == {2}


def test_more_connections_than_allowed_are_turned_away(cluster: Cluster) -> None:
    node = cluster[1]
    with node.client() as client:
        strangers = [connect(str(node.nbd)) for _ in range(STRANGERS)]
        try:
            wait_until(
                lambda: node.status()["nbd"]["refused_connections_total"] == STRANGERS - 63,
                "those over the limit are refused",
            )
            client.write(0, b"x" * PAGE)
            assert client.read(0, PAGE) == b"x" * PAGE
            with pytest.raises((NbdError, OSError)):
                node.client()
        finally:
            for stranger in strangers:
                stranger.close()
        wait_until(lambda: node.status()["nbd"]["connections"] == 1, "their places are free again")
        node.client().disconnect()
