"""Real NBD clients before a cluster: the working set is four times what node 1 may keep."""

import filecmp
import json
import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, MIB, Cluster, free_ports, wait_until

BUDGET_BYTES = 2 * MIB
CLIENT_SECONDS_MAX = 60.0
FLUSH_SECONDS_MAX = 5.0


def run(*command: str | Path) -> str:
    """Run a client to its end and return what it printed; any failure shows all it said."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=CLIENT_SECONDS_MAX,
        text=True,
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Iterator[Cluster]:
    """Yield a node with two peers behind it; see afterwards that the pages went out, came home and are gone."""
    cluster = new_cluster(budgets=["2MiB", "16MiB", "16MiB"], export="24MiB")
    cluster.start()
    yield cluster
    engine = cluster[1].engine()
    store = engine["store"]
    pages = cluster[1].status()["exports"][0]["pages"]
    mean_zpage_bytes = store["put_zpage_bytes_total"] / store["put_pages_total"]
    assert pages * mean_zpage_bytes >= 4 * BUDGET_BYTES, "it fits: no test of remotify"
    assert store["zbud"]["resident_bytes"] <= BUDGET_BYTES
    assert engine["remotify"]["stored_pages_total"] > 0
    assert engine["fetch"]["fetched_pages_total"] > 0
    assert engine["fetch"]["corrupt_pages_total"] == 0
    assert store["lost_pages_total"] == 0
    assert cluster[1].status()["pager"]["refused_puts_total"] == 0
    with cluster[1].client() as client:
        client.trim(0, client.size)
    wait_until(
        lambda: not (cluster[2].foreign_pages() or cluster[3].foreign_pages()),
        "the peers hold nothing",
        seconds_max=FLUSH_SECONDS_MAX,
    )
    assert cluster[1].status()["exports"][0]["pages"] == 0


def fill(cluster: Cluster, *, mib: int) -> bytes:
    """Write noise, from the start; return what was written."""
    noise = random.Random(mib).randbytes(mib * MIB)
    with cluster[1].client() as client:
        client.write_stream(0, [noise])
    return noise


def read_all(cluster: Cluster, length: int) -> bytes:
    with cluster[1].client() as client:
        return b"".join(client.read_stream(0, length))


def test_nbdinfo(cluster: Cluster) -> None:
    require_tool("nbdinfo")
    uri = cluster[1].uri
    noise = fill(cluster, mib=8)
    shown = json.loads(run("nbdinfo", "--json", uri))
    assert shown["exports"][0]["export-size"] == 24 * MIB
    listed = json.loads(run("nbdinfo", "--json", "--list", uri))
    assert [each["export-name"] for each in listed["exports"]] == [EXPORT]
    for ability in ("multi-conn", "trim", "zero", "flush"):
        run("nbdinfo", "--can", ability, uri)
    assert read_all(cluster, len(noise)) == noise


def test_nbdcopy_both_ways(cluster: Cluster, tmp_path: Path) -> None:
    require_tool("nbdkit", "nbdcopy")
    uri = cluster[1].uri
    run("nbdcopy", "--", "[", "nbdkit", "--exit-with-parent", "pattern", "24M", "]", uri)
    back, expected = tmp_path / "back", tmp_path / "expected"
    run("nbdcopy", uri, back)
    run(
        "nbdkit",
        "-U",
        "-",
        "pattern",
        "24M",
        "--run",
        f'nbdcopy "$uri" {shlex.quote(str(expected))}',
    )
    assert filecmp.cmp(back, expected, shallow=False)


def test_qemu_io_patterns_between_remote_pages(cluster: Cluster) -> None:
    require_tool("qemu-io")
    # More than enough: what is trimmed and made zero does not count.
    noise = bytearray(fill(cluster, mib=9))
    commands = [
        "write -P 0xab 1M 64k",
        "read -P 0xab 1M 64k",
        "write -P 0xcd 1537k 1k",
        "discard 1M 64k",
        "read -P 0 1M 64k",
        "write -z 2M 64k",
        "read -P 0 2M 64k",
        "write -z -u 3M 64k",
        "read -P 0 3M 64k",
        "flush",
        "aio_write -P 0x11 4M 128k",
        "aio_write -P 0x22 5M 128k",
        "aio_flush",
        "read -P 0x11 4M 128k",
        "read -P 0x22 5M 128k",
    ]
    options = [word for command in commands for word in ("-c", command)]
    printed = run("qemu-io", "-f", "raw", *options, cluster[1].uri)
    assert "failed" not in printed
    for offset_kib, length_kib, byte in (
        (1024, 64, 0),
        (1537, 1, 0xCD),
        (2048, 64, 0),
        (3072, 64, 0),
        (4096, 128, 0x11),
        (5120, 128, 0x22),
    ):
        start = offset_kib * 1024
        noise[start : start + length_kib * 1024] = bytes([byte]) * (length_kib * 1024)
    assert read_all(cluster, len(noise)) == bytes(noise)


def test_qemu_img_converts_both_ways(cluster: Cluster, tmp_path: Path) -> None:
    require_tool("qemu-img")
    uri = cluster[1].uri
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(random.Random(1).randbytes(10 * MIB) + bytes(14 * MIB))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, uri)
    shown = json.loads(run("qemu-img", "info", "--output=json", "-f", "raw", uri))
    assert shown["virtual-size"] == 24 * MIB
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", uri, back)
    assert filecmp.cmp(source, back, shallow=False)


FIO = ["fio", "--ioengine=nbd", "--iodepth=16", "--randrepeat=1", "--allrandrepeat=1"]
VERIFY = ["--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--refill_buffers"]
# What the kernel's swap code sends, by size (measured with a guest that swaps).
SWAP_MIX = "--bssplit=4k/40:32k/40:128k/20"


def test_fio_verifies_random_pages(cluster: Cluster) -> None:
    require_tool("fio")
    run(
        *FIO,
        "--name=v",
        f"--uri={cluster[1].uri}",
        "--rw=randwrite",
        "--bs=4k",
        "--size=10M",
        *VERIFY,
    )


def test_fio_verifies_the_swap_mix(cluster: Cluster) -> None:
    require_tool("fio")
    uri = f"--uri={cluster[1].uri}"
    run(*FIO, "--name=v", uri, "--rw=randwrite", SWAP_MIX, "--size=12M", *VERIFY)
    run(*FIO, "--name=m", uri, "--rw=randrw", SWAP_MIX, "--size=12M", "--time_based", "--runtime=1")


def test_tcp_listener_serves_the_same_export(new_cluster: NewCluster, sockets: Path) -> None:
    require_tool("qemu-io", "nbdinfo")
    (port,) = free_ports(1)
    cluster = new_cluster(budgets=["4MiB"], nbd=f'listen = "127.0.0.1:{port}"')
    cluster.start()
    uri = f"nbd://127.0.0.1:{port}/{EXPORT}"
    run("qemu-io", "-f", "raw", "-c", "write -P 0xab 8k 8k", uri)
    with cluster[1].client() as client:
        assert client.read(8192, 8192) == b"\xab" * 8192
    assert run("nbdinfo", "--size", uri) == run("nbdinfo", "--size", cluster[1].uri)
