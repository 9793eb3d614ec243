"""Memory outside the budget: what tables take, and that it goes back."""

from benchmarks.processes import rss_bytes
from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.frontends.nbd.protocol import CommandFlag, Errno
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node

TIB = 1 << 40
# A request has 32 bits for its length.
PART_BYTES = 1 << 31
PAGE = b"\x01" + bytes(4094) + b"\x02"


def node_of(cluster: Cluster) -> Node:
    cluster.start()
    return cluster[1]


def resident(node: Node) -> int:
    assert node.process is not None
    return rss_bytes(node.process.pid)


def fill_with_zeros(client: NbdClient) -> None:
    for offset in range(0, TIB, PART_BYTES):
        client.write_zeroes(offset, PART_BYTES, flags=CommandFlag.NO_HOLE)


def test_zeros_of_a_tebibyte_take_no_memory_and_parts_of_them_can_be_written_read_and_trimmed(
    new_cluster: NewCluster,
) -> None:
    node = node_of(new_cluster(budgets=["64MiB"], export="1TiB"))
    before = resident(node)
    with node.client() as client:
        fill_with_zeros(client)
        assert resident(node) - before < 16 * MIB
        assert node.status()["exports"][0]["pages"] == TIB // 4096
        assert client.read(TIB - 8192, 8192) == bytes(8192)
        for offset in range(0, TIB, TIB // 64):
            client.write(offset + 4096, PAGE)
            client.trim(offset + 8192, 65536)
            assert client.read(offset, 12288) == bytes(4096) + PAGE + bytes(4096)
        store = node.status()["engine"]["store"]
        assert store["tables_bytes"] < MIB
        for offset in range(0, TIB, PART_BYTES):
            client.trim(offset, PART_BYTES)
    assert node.status()["exports"][0]["pages"] == 0
    assert resident(node) - before < 16 * MIB


def write_until_refused(client: NbdClient, run: bytes) -> int:
    """Write a run again and again; return where there was no room for it."""
    for offset in range(0, TIB, len(run)):
        try:
            client.write(offset, run)
        except RequestFailed as refused:
            if refused.errno == Errno.ENOSPC:
                return offset
            raise
    raise AssertionError("there is room for a tebibyte of rows")


def test_tables_that_are_full_refuse_writes_and_give_all_back(new_cluster: NewCluster) -> None:
    """Pages of one word have rows and take no budget: only the tables bound them."""
    node = node_of(new_cluster(budgets=['64MiB"\ntables_max = "2MiB'], export="1TiB"))
    before = resident(node)
    with node.client() as client:
        run = (b"\x07" * 4096) * 256
        offset = write_until_refused(client, run)
        assert offset // 4096 > 50_000
        store = node.status()["engine"]["store"]
        assert 1.9 * MIB < store["tables_bytes"] <= store["tables_bytes_max"] == 2 * MIB
        assert client.read(0, len(run)) == run
        client.trim(0, offset + len(run))
        assert node.status()["engine"]["store"]["tables_bytes"] < 64 << 10
        client.write(0, run)
    assert resident(node) - before < 16 * MIB
