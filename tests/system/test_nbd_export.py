"""Real NBD clients against real daemons: what they see, what they store, and what bad ones can't do."""

import errno
import json
import random
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.frontends.nbd.protocol import Command
from tests.fakes.nbd_words import request
from tests.helpers.requirements import require_libnbd, require_root, require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import EXPORT, MIB, Cluster, Node, wait_until

PAGE = 4096
SIZE = 64 * MIB
MORE = """
[[export]]
name = "rom"
size = "1MiB"
description = "nothing may change here"
read_only = true
"""


def run(*command: str | Path, check: bool = True, seconds_max: float = 60) -> str:
    """Run a program and return what it printed, errors too."""
    ended = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=seconds_max,
    )
    output = ended.stdout.decode()
    assert not check or ended.returncode == 0, f"{command}: {ended.returncode}: {output}"
    return output


@pytest.fixture
def node(new_cluster: NewCluster) -> Node:
    """One daemon with plenty of memory."""
    cluster = new_cluster(budgets=["256MiB"], export="64MiB", more=MORE)
    cluster.start()
    return cluster[1]


@pytest.fixture
def small(new_cluster: NewCluster) -> Cluster:
    """A daemon whose export is four times its memory, with two peers behind."""
    cluster = new_cluster(budgets=["16MiB", "64MiB", "64MiB"], export="64MiB")
    cluster.start()
    return cluster


def noise(pages: int, seed: int = 0) -> bytes:
    """Return pages that hardly compress."""
    return random.Random(seed).randbytes(pages * PAGE)


# What clients see.


def test_nbdinfo_sees_what_an_export_can_do(node: Node) -> None:
    require_tool("nbdinfo")
    for ability in (
        "cache", "df", "fast-zero", "flush", "fua", "multi-conn", "trim", "write", "zero",
    ):  # fmt: skip
        run("nbdinfo", "--can", ability, node.uri)
    shown = run("nbdinfo", node.uri)
    assert "using structured packets" in shown
    assert "base:allocation" in shown
    assert re.search(r"block_size_minimum: 1\b", shown)
    assert re.search(r"block_size_preferred: 4096\b", shown)
    assert re.search(r"block_size_maximum: 33554432\b", shown)
    assert f"export-size: {SIZE}" in shown


def test_nbdinfo_sees_that_an_export_is_read_only_and_its_description(node: Node) -> None:
    require_tool("nbdinfo")
    uri = node.uri.replace(EXPORT, "rom")
    run("nbdinfo", "--is", "read-only", uri)
    listed = run("nbdinfo", "--list", f"nbd+unix://?socket={node.nbd}")
    assert "description: nothing may change here" in listed
    for ability in ("write", "trim", "zero"):
        with pytest.raises(AssertionError):
            run("nbdinfo", "--can", ability, uri)


def mapped(uri: str) -> list[tuple[int, int, int]]:
    """Return (offset, length, state) of each extent that nbdinfo shows."""
    lines = run("nbdinfo", "--map", uri).splitlines()
    found = [line.split()[:3] for line in lines]
    return [(int(offset), int(length), int(state)) for offset, length, state in found]


def test_nbdinfo_map_shows_data_holes_and_zeros_as_written(node: Node) -> None:
    require_tool("nbdinfo")
    assert mapped(node.uri) == [(0, SIZE, 3)]
    with node.client() as client:
        client.write(MIB, noise(256))
        client.write(2 * MIB, bytes(MIB))
        # All words equal is stored without data, but reads as data.
        client.write(4 * MIB, b"7" * MIB)
        client.trim(MIB + 64 * 1024, 64 * 1024)
        client.write_zeroes(4 * MIB, 64 * 1024)
        client.write(SIZE - 512, b"end")
    kib = 1024
    assert mapped(node.uri) == [
        (0, MIB, 3),
        (MIB, 64 * kib, 0),
        (MIB + 64 * kib, 64 * kib, 3),
        (MIB + 128 * kib, 896 * kib, 0),
        (2 * MIB, MIB, 2),
        (3 * MIB, MIB + 64 * kib, 3),
        (4 * MIB + 64 * kib, 960 * kib, 0),
        (5 * MIB, SIZE - 5 * MIB - PAGE, 3),
        (SIZE - PAGE, PAGE, 0),
    ]


def test_a_map_of_more_extents_than_one_reply_has_is_complete(node: Node) -> None:
    """Every second page: 8192 extents, in replies of 1024."""
    require_tool("nbdinfo")
    with node.client() as client:
        for index in range(0, SIZE // PAGE, 2):
            client._ask(Command.WRITE, index * PAGE, PAGE, payload=b"x" * PAGE)
            if len(client._waiting) >= 32:
                client._next_reply()
        client._forget_waiting()
    shown = mapped(node.uri)
    assert shown == [(each * PAGE, PAGE, 3 * (each % 2)) for each in range(SIZE // PAGE)]


def test_pages_at_peers_are_data_and_dropped_ones_holes(small: Cluster) -> None:
    require_tool("nbdinfo")
    with small[1].client() as client:
        client.write_stream(0, [noise(48 * 256)])
        wait_until(lambda: small[2].foreign_pages() + small[3].foreign_pages(), "pages at peers")
        assert mapped(small[1].uri) == [(0, 48 * MIB, 0), (48 * MIB, 16 * MIB, 3)]
        client.trim(0, 40 * MIB)
        assert mapped(small[1].uri) == [
            (0, 40 * MIB, 3), (40 * MIB, 8 * MIB, 0), (48 * MIB, 16 * MIB, 3),
        ]  # fmt: skip


# What clients store.


def sparse_file(path: Path) -> Path:
    """Make a file of the export's size with data, holes and zeros."""
    with path.open("wb") as file:
        file.truncate(SIZE)
        for start in range(0, SIZE, 8 * MIB):
            file.seek(start + 12345)
            file.write(noise(300, seed=start))
        file.seek(3 * MIB)
        file.write(bytes(MIB))
    return path


def test_nbdcopy_takes_a_disk_there_and_back_over_several_connections(
    node: Node, tmp_path: Path
) -> None:
    require_tool("nbdcopy")
    source, target = sparse_file(tmp_path / "source"), tmp_path / "target"
    run("nbdcopy", "--connections=4", "--threads=4", source, node.uri)
    before = node.status()["nbd"]["accepted_connections_total"]
    run("nbdcopy", "--connections=4", "--threads=4", node.uri, target)
    assert node.status()["nbd"]["accepted_connections_total"] - before >= 4
    assert source.read_bytes() == target.read_bytes()
    # Holes were copied as holes both ways.
    pages = node.status()["exports"][0]["pages"]
    assert pages < SIZE // PAGE // 4
    assert target.stat().st_blocks * 512 < SIZE // 2


def test_nbdcopy_through_a_cluster(small: Cluster, tmp_path: Path) -> None:
    require_tool("nbdcopy")
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(SIZE // PAGE))
    run("nbdcopy", source, small[1].uri)
    assert small[2].foreign_pages() + small[3].foreign_pages() > SIZE // PAGE // 2
    run("nbdcopy", small[1].uri, target)
    assert source.read_bytes() == target.read_bytes()


def test_qemu_img_converts_and_compares(node: Node, tmp_path: Path) -> None:
    require_tool("qemu-img", "qemu-io")
    source, target = sparse_file(tmp_path / "source"), tmp_path / "target"
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-W", "-m", "8", source, node.uri)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, node.uri)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", node.uri, target)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", node.uri, target)
    with node.client() as client:
        client.write(20 * MIB, b"changed")
    assert "mismatch" in run("qemu-img", "compare", source, node.uri, check=False)


def test_qemu_io_map_and_commands(node: Node) -> None:
    require_tool("qemu-io")
    words = [
        "write -P 0xab 1M 64k", "write -f -P 0xcd 5000 3000", "discard 1M 4k",
        "write -z 2M 64k", "write -z -u 3M 64k", "write -z -n 0 4M", "read -P 0 0 2M",
        "write -P 0x11 6M 33M", "read -P 0x11 6M 33M", "map", "flush",
    ]  # fmt: skip
    commands = [word for each in words for word in ("-c", each)]
    shown = run("qemu-io", "-f", "raw", *commands, node.uri)
    assert "Pattern verification failed" not in shown
    assert "error" not in shown.lower()
    # To qemu-io all of a disk without a backing file is allocated; qemu-img tells more.
    assert "64 MiB (0x4000000) bytes     allocated at offset 0 bytes" in shown
    extents = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", node.uri))
    found = [(each["start"], each["length"], each["data"], each["zero"]) for each in extents]
    assert found == [
        # Zeros without a hole, which -u would have allowed.
        (0, 4 * MIB, True, True),
        (4 * MIB, 2 * MIB, False, True),
        (6 * MIB, 33 * MIB, True, False),
        (39 * MIB, 25 * MIB, False, True),
    ]


def test_fio_verifies_what_four_connections_wrote_at_depth_32(small: Cluster) -> None:
    """The working set is four times the budget: most of it is read back from peers."""
    require_tool("fio")
    run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={small[1].uri}", "--rw=randwrite",
        "--bssplit=4k/70:512/10:64k/20", "--size=16M", "--offset_increment=16M", "--numjobs=4",
        "--iodepth=32", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1",
        "--verify_state_save=0", "--group_reporting", seconds_max=110,
    )  # fmt: skip
    status = small[1].status()
    assert not any(status["nbd"]["errors_total"].values())
    assert status["engine"]["fetch"]["fetched_pages_total"] > 1000
    assert status["nbd"]["accepted_connections_total"] >= 4


@pytest.mark.root
def test_a_file_system_on_a_loop_device_over_nbdfuse(node: Node, tmp_path: Path) -> None:
    require_root()
    require_tool("nbdfuse", "mkfs.ext4", "fsck.ext4", "losetup", "umount")
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        pytest.skip("needs /dev/fuse and loop devices")
    content = {f"file{each}": noise(50, seed=each) for each in range(20)}
    with LoopDisk(node.uri, tmp_path) as device:
        run("mkfs.ext4", "-q", "-F", device)
        run("fsck.ext4", "-f", "-n", device)
        with mounted(device, tmp_path / "files") as folder:
            for name, data in content.items():
                (folder / name).write_bytes(data)
            (folder / "file3").unlink()
            run("fstrim", folder, check=False)
        run("fsck.ext4", "-f", "-n", device)
    # A new path to the same disk: what the daemon has is what counts.
    with LoopDisk(node.uri, tmp_path) as device, mounted(device, tmp_path / "files") as folder:
        del content["file3"]
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        assert found == content


class LoopDisk:
    """A loop device on a file of nbdfuse; both are gone at the end, whatever happens."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri = uri
        self._mountpoint = folder / "fuse"
        self._stack = ExitStack()

    def __enter__(self) -> str:
        with ExitStack() as stack:
            self._mountpoint.mkdir(exist_ok=True)
            file = self._mountpoint / "nbd"
            fuse = subprocess.Popen(["nbdfuse", str(file), self._uri])
            stack.callback(fuse.wait, 10)
            stack.callback(run, "umount", self._mountpoint, check=False)
            wait_until(file.exists, "nbdfuse serves")
            device = run("losetup", "--find", "--show", file).strip()
            stack.callback(wait_until, lambda: device not in run("losetup", "-a"), "loop is free")
            stack.callback(run, "losetup", "-d", device)
            self._stack = stack.pop_all()
            return device

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class mounted:  # noqa: N801  (reads as a verb, like contextlib's own)
    """A mounted file system."""

    def __init__(self, device: str, folder: Path) -> None:
        self._device = device
        self._folder = folder

    def __enter__(self) -> Path:
        self._folder.mkdir(exist_ok=True)
        run("mount", self._device, self._folder)
        return self._folder

    def __exit__(self, *_: object) -> None:
        run("umount", self._folder)


LIBNBD_STORY = """
import errno, nbd, sys
h = nbd.NBD()
h.set_strict_mode(0)
h.add_meta_context("base:allocation")
h.connect_uri(sys.argv[1])
assert h.get_structured_replies_negotiated()
assert h.can_meta_context("base:allocation")
size = h.get_size()

def failed(call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        return error.errnum
    return None

# Structured reads: data and holes apart, unless they must not be fragmented.
chunks = []
def chunk(data, offset, state, error):
    chunks.append((offset, len(data), state))
    return 0
h.pwrite(b"x" * 4096, 8192)
buffer = h.pread_structured(16384, 0, chunk)
assert buffer == bytes(8192) + b"x" * 4096 + bytes(4096)
hole, data = nbd.READ_HOLE, nbd.READ_DATA
assert chunks == [(0, 8192, hole), (8192, 4096, data), (12288, 4096, hole)], chunks
chunks.clear()
h.pread_structured(16384, 0, chunk, nbd.CMD_FLAG_DF)
assert chunks == [(0, 16384, data)], chunks

# Block status.
extents = []
def extent(context, offset, entries, error):
    extents.append((context, offset, entries))
    return 0
h.block_status(1 << 20, 4096, extent)
assert extents == [("base:allocation", 4096, [4096, 3, 4096, 0, (1 << 20) - 8192, 3])], extents
extents.clear()
h.block_status(1 << 20, 4096, extent, nbd.CMD_FLAG_REQ_ONE)
assert extents == [("base:allocation", 4096, [4096, 3])], extents

# Errors, after each of which the connection goes on.
assert failed(h.pread, 4097, size - 4096) == errno.EINVAL
assert failed(h.pwrite, b"y" * 4097, size - 4096) == errno.ENOSPC
assert failed(h.trim, 4097, size - 4096) == errno.EINVAL
assert failed(h.zero, 4097, size - 4096) == errno.ENOSPC
assert failed(h.cache, 4097, size - 4096) == errno.EINVAL
assert failed(h.block_status, 4097, size - 4096, extent) == errno.EINVAL
assert failed(h.pread, 33 << 20, 0) == errno.EINVAL
assert failed(h.pwrite, bytes(33 << 20), 0) == errno.EINVAL
assert failed(h.pwrite, bytes(8 << 20), size - (4 << 20)) == errno.ENOSPC
assert failed(h.pread, 4096, 0, 1 << 9) == errno.EINVAL
assert failed(h.pread, 4096, 0, nbd.CMD_FLAG_REQ_ONE) == errno.EINVAL
assert failed(h.zero, 100, 1, nbd.CMD_FLAG_FAST_ZERO) == errno.ENOTSUP
for call in (h.flush, h.cache, h.trim, h.zero):
    arguments = () if call == h.flush else (size, 0)
    if call != h.cache:
        call(*arguments, nbd.CMD_FLAG_FUA)
h.cache(4096, 0)
h.zero(8192, 0, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(16384, 0) == bytes(16384)
h.shutdown()

h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[2])
assert h.is_read_only()
assert failed(h.pwrite, b"y", 0) == errno.EPERM
assert failed(h.trim, 4096, 0) == errno.EPERM
assert failed(h.zero, 4096, 0) == errno.EPERM
assert failed(h.block_status, 4096, 0, extent) == errno.EINVAL
assert h.pread(4096, 0) == bytes(4096)
h.shutdown()
print("fine")
"""


def test_libnbd_on_structured_replies_block_status_and_errors(node: Node) -> None:
    python = require_libnbd()
    rom = node.uri.replace(EXPORT, "rom")
    assert run(python, "-c", LIBNBD_STORY, node.uri, rom) == "fine\n"
    assert node.status()["nbd"]["ended_connections_total"]["GARBAGE"] == 0


def test_cache_brings_pages_home(small: Cluster) -> None:
    content = noise(SIZE // PAGE)
    with small[1].client() as client:
        client.write_stream(0, [content])
        wait_until(
            lambda: not small[1].engine()["remotify"]["pages_in_flight"], "nothing is in flight"
        )
        # Room to come home to.
        client.trim(8 * MIB, SIZE - 8 * MIB)
        client._ask(Command.CACHE, 0, 8 * MIB)
        client._next_reply()
        fetched = small[1].engine()["fetch"]
        assert fetched["localified_pages_total"] > 1000
        assert client.read(0, 8 * MIB) == content[: 8 * MIB]
        assert small[1].engine()["fetch"]["fetched_pages_total"] == fetched["fetched_pages_total"]


@pytest.mark.parametrize("size", ["128MiB", "1MiB"])
def test_a_restart_gives_the_size_that_the_config_says(node: Node, size: str) -> None:
    with node.client() as client:
        assert client.size == SIZE
        client.write(0, b"x" * PAGE)
    node.stop()
    text = node.config.read_text()
    node.config.write_text(text.replace('size = "64MiB"', f'size = "{size}"'))
    node.start()
    node.wait_ready()
    node.reset_export()
    with node.client() as client:
        expected = int(size.removesuffix("MiB")) * MIB
        assert client.size == expected
        client.write(expected - PAGE, b"y" * PAGE)
        with pytest.raises(RequestFailed) as caught:
            client.write(expected, b"y" * PAGE)
        assert caught.value.errno == errno.ENOSPC


# What bad clients can't do.

GO = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">III5sH", 7, 11, 5, EXPORT.encode(), 0)


@pytest.fixture
def bad(node: Node) -> Iterator[socket.socket]:
    """A connection past its handshake, to do harm with."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(node.nbd))
        client.sendall(GO)
        received = b""
        while not received.endswith(struct.pack(">QIII", 0x3E889045565A9, 7, 1, 0)):
            received += client.recv(4096)
        yield client


@pytest.fixture
def good(node: Node) -> Iterator[NbdClient]:
    """A client that notices nothing."""
    with node.client() as client:
        client.write(0, b"mine" * 1024)
        yield client
        assert client.read(0, PAGE) == b"mine" * 1024


def resident_bytes(node: Node) -> int:
    assert node.process is not None
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


def ended(node: Node, how: str) -> int:
    count = node.status()["nbd"]["ended_connections_total"][how]
    assert isinstance(count, int)
    return count


def receive_rest(client: socket.socket) -> bytes:
    data = b""
    try:
        while some := client.recv(1 << 16):
            data += some
    except ConnectionResetError:
        pass
    return data


def test_a_client_that_sends_garbage_is_ended(
    node: Node, good: NbdClient, bad: socket.socket
) -> None:
    bad.sendall(random.Random(1).randbytes(1 << 16))
    assert receive_rest(bad) == b""
    wait_until(lambda: ended(node, "GARBAGE") == 1, "the connection is ended")
    assert "broke the protocol (request magic" in node.log
    assert good.read(0, 4) == b"mine"


def test_a_client_that_sends_half_a_request_and_leaves_changes_nothing(
    node: Node, good: NbdClient, bad: socket.socket
) -> None:
    bad.sendall(request(Command.WRITE, 1, 0, PAGE, payload=b"evil" * 512))
    bad.shutdown(socket.SHUT_WR)
    assert receive_rest(bad) == b""
    wait_until(lambda: ended(node, "CLOSED_EARLY") == 1, "the connection is ended")
    assert good.read(0, PAGE) == b"mine" * 1024


def test_a_length_of_four_gigabytes_is_refused_at_once(
    node: Node, good: NbdClient, bad: socket.socket
) -> None:
    most = (1 << 32) - 1
    before = resident_bytes(node)
    bad.sendall(request(Command.READ, 1, 0, most) + request(Command.CACHE, 2, 0, most))
    bad.sendall(request(Command.TRIM, 3, 0, most) + request(Command.WRITE, 4, 0, most))
    answers = b"".join(
        struct.pack(">IIQ", 0x67446698, errno.EINVAL, cookie) for cookie in (1, 2, 3)
    )
    # The WRITE lies beyond the end as well as beyond the limit.
    assert receive_rest(bad) == answers + struct.pack(">IIQ", 0x67446698, errno.EINVAL, 4)
    wait_until(lambda: ended(node, "GARBAGE") == 1, "the connection is ended")
    assert resident_bytes(node) - before < 4 * MIB
    assert good.read(0, 4) == b"mine"


def test_a_client_that_stops_reading_with_10000_reads_outstanding_waits(
    node: Node, good: NbdClient, bad: socket.socket
) -> None:
    good.write_stream(MIB, [noise(4096)])
    before = resident_bytes(node)
    bad.setblocking(False)
    said = b"".join(request(Command.READ, each, MIB, 16 * MIB) for each in range(10_000))
    with suppress(BlockingIOError):
        while said:
            said = said[bad.send(said) :]
    wait_until(lambda: node.status()["nbd"]["requests_total"]["READ"], "the first is served")
    for index in range(64):
        good.write((20 * MIB) + index * PAGE, noise(1, seed=index))
    # In flight and queued: one read over each of the limits.
    assert resident_bytes(node) - before < 96 * MIB
    assert node.status()["nbd"]["requests_total"]["READ"] < 10
    bad.close()
    wait_until(lambda: node.status()["nbd"]["connections"] == 1, "the connection is ended")
    assert node.status()["nbd"]["requests_in_flight"] == 0


def test_64_clients_of_one_export_and_not_one_more(node: Node, good: NbdClient) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(63)]
        for number, client in enumerate(clients):
            client.write(MIB + number * PAGE, noise(1, seed=number))
        with pytest.raises(Exception, match="too many clients of export "):
            node.client()
        # The other export has room.
        stack.enter_context(node.client("rom"))
        for number, client in enumerate(reversed(clients)):
            assert client.read(MIB + number * PAGE, PAGE) == noise(1, seed=number)
        assert good.read(0, 4) == b"mine"


def test_a_long_trim_and_a_long_write_hold_nobody_up(node: Node, good: NbdClient) -> None:
    """While another client's requests of tens of milliseconds run, reads go on in between."""
    good.write_stream(MIB, [noise(1024)])
    with node.client() as long:
        payload = noise(8192)
        for _ in range(4):
            long._ask(Command.TRIM, MIB * 32, 32 * MIB)
            long._ask(Command.WRITE, MIB * 32, 32 * MIB, payload=payload)
        while long._waiting:
            assert good.read(MIB, PAGE)
            long._next_reply()
        assert long.read(MIB * 32, 32 * MIB) == payload
