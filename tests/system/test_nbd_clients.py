"""Real NBD clients against the server over a fake pager: what they say must be what we understand."""

import random
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.server import NbdServer
from tests.fakes.fake_pager import FakePager

pytestmark = pytest.mark.system

EXPORTS = [
    Export(name="disk", size=64 << 20, description="a disk", pool=PoolId(1), object_id=b"disk"),
    Export(name="swap", size=32 << 20, pool=PoolId(1), object_id=b"swap"),
]


class Served:
    """A running server: its socket, and the pager below it."""

    def __init__(self, path: Path, pager: FakePager, server: NbdServer) -> None:
        self.path = path
        self.pager = pager
        self.server = server

    @property
    def uri(self) -> str:
        return f"nbd+unix:///disk?socket={self.path}"

    async def run(self, *command: str, check: bool = True) -> str:
        """Run a program and return what it printed, errors too."""
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        with trio.fail_after(60):
            ended = await trio.run_process(
                command, check=False, capture_stdout=True, stderr=subprocess.STDOUT
            )
        output = ended.stdout.decode()
        assert not check or ended.returncode == 0, output
        return output


@pytest.fixture
async def served(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Served]:
    path, pager = tmp_path / "nbd.sock", FakePager()
    server = NbdServer(pager, EXPORTS, socket_path=path)
    await nursery.start(server.serve)
    yield Served(path, pager, server)
    nursery.cancel_scope.cancel()


async def test_nbdinfo_sees_the_exports(served: Served) -> None:
    shown = await served.run("nbdinfo", served.uri)
    assert "export-size: 67108864" in shown
    assert "description: a disk" in shown
    for ability in ("can_multi_conn", "can_flush", "can_fua", "can_trim", "can_zero"):
        assert f"{ability}: true" in shown
    assert "is_rotational: false" in shown
    assert "block_size_maximum: 33554432" in shown
    listed = await served.run("nbdinfo", "--list", f"nbd+unix://?socket={served.path}")
    assert 'export="disk"' in listed
    assert 'export="swap"' in listed
    refused = await served.run("nbdinfo", served.uri.replace("disk", "other"), check=False)
    assert "No such file or directory for export: other" in refused


async def test_nbdcopy_takes_a_disk_there_and_back(served: Served, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(random.Random(0).randbytes(EXPORTS[0].size))
    await served.run("nbdcopy", str(source), served.uri)
    await served.run("nbdcopy", served.uri, str(target))
    assert source.read_bytes() == target.read_bytes()


async def test_qemu_io_writes_discards_and_zeroes(served: Served) -> None:
    patterns = [
        "write -P 0xab 1M 64k",
        "read -P 0xab 1M 64k",
        "write -f -P 0xcd 5000 3000",
        "read -P 0xcd 5000 3000",
        "read -P 0 4096 904",
        "discard 1M 64k",
        "read -P 0 1M 64k",
        "write -P 0xee 2M 64k",
        "write -z 2M 32k",
        "write -z -u 2080768 4096",
        "read -P 0 2M 32k",
        "write -P 0x11 4M 33M",
        "read -P 0x11 4M 33M",
        "flush",
    ]
    words = [word for pattern in patterns for word in ("-c", pattern)]
    shown = await served.run("qemu-io", "-f", "raw", *words, f"nbd:unix:{served.path}")
    assert "Pattern verification failed" not in shown
    assert "error" not in shown.lower()


async def test_qemu_io_is_told_what_is_lost_and_what_is_full(served: Served) -> None:
    target = f"nbd:unix:{served.path}"
    served.pager.lost.add(0)
    shown = await served.run("qemu-io", "-f", "raw", "-c", "read 0 4k", target, check=False)
    assert "Input/output error" in shown
    served.pager.is_refusing = True
    shown = await served.run("qemu-io", "-f", "raw", "-c", "write 64k 4k", target, check=False)
    assert "No space left on device" in shown


@pytest.mark.parametrize("sectors", ["4k", "512/50:4k/30:130k/20"])
async def test_fio_verifies_what_it_wrote(served: Served, sectors: str) -> None:
    size = "--bssplit=" if "/" in sectors else "--bs="
    await served.run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={served.uri}", "--rw=randwrite",
        size + sectors, "--size=16M", "--iodepth=16", "--verify=crc32c", "--do_verify=1",
        "--verify_fatal=1", "--verify_state_save=0",
    )  # fmt: skip
    counted = served.server.statistics()
    assert counted.requests_total["WRITE"] > 100
    assert not any(counted.errors_total.values())


LIBNBD_STORY = """
import errno, nbd, sys
h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
size = h.get_size()

def failed(call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        return error.errnum
    return None

h.pwrite(b"x" * 10, size - 10, nbd.CMD_FLAG_FUA)
assert h.pread(12, size - 12) == b"\\0\\0" + b"x" * 10
assert failed(h.pread, 11, size - 10) == errno.EINVAL
assert failed(h.pwrite, b"y" * 11, size - 10) == errno.ENOSPC
assert failed(h.trim, 11, size - 10) == errno.EINVAL
assert h.pread(10, 0, nbd.CMD_FLAG_DF) == bytes(10)
h.cache(10, 0)
h.zero(5000, 100, nbd.CMD_FLAG_NO_HOLE)
buffers = [nbd.Buffer(4096) for _ in range(100)]
cookies = [h.aio_pread(buffer, index * 4096) for index, buffer in enumerate(buffers)]
while h.aio_in_flight():
    h.poll(-1)
assert all(h.aio_command_completed(cookie) for cookie in cookies)
h.flush()
h.shutdown()
print("fine")
"""


async def test_libnbd_is_told_the_errors_of_the_specification(served: Served) -> None:
    python = "/usr/bin/python3"
    if await served.run(python, "-c", "import nbd", check=False):
        pytest.skip("python3-libnbd is not installed")
    assert await served.run(python, "-c", LIBNBD_STORY, served.uri) == "fine\n"
    assert served.server.statistics().ended_connections_total["DISCONNECTED"] == 1


async def test_a_killed_server_leaves_a_socket_that_the_next_one_replaces(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    story = (
        "import os, pathlib, sys; from ramsterd.endpoints.sockets import listen_unix;"
        "listen_unix(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    await trio.run_process([sys.executable, "-c", story, str(path)], check=False)
    assert await trio.Path(path).is_socket()
    async with trio.open_nursery() as nursery:
        await nursery.start(NbdServer(FakePager(), EXPORTS, socket_path=path).serve)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        nursery.cancel_scope.cancel()
