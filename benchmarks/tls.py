"""Throughput of one link's byte stream on loopback: plain, TLS on the socket, TLS over BIOs, trio.SSLStream.

    python -m benchmarks.tls [--mebibytes 256] [--rounds 5]

Sender and receiver share one process and one core, so figures are for comparison only.  Rounds interleave the
kinds; the median is printed.  Pieces are of 2500 bytes, about a compressed page, 64 a send, as links send them.
"""

import argparse
import contextlib
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from net.certificates import Credentials
from net.errors import PeerLost
from net.tcp import TcpTransport
from net.tls import TlsTransport
from net.transport import Stream, Transport
from tests.helpers.authority import Authority

PIECES = [os.urandom(2500) for _ in range(64)]
BATCH_BYTES = sum(map(len, PIECES))
RECEIVE_BYTES = 256 * 1024
MIB = 1024 * 1024


async def send(stream: Stream, batches: int) -> None:
    whole = b"".join(PIECES)
    await stream.wait_sendable()
    for _ in range(batches):
        sent = stream.send_nowait(PIECES)
        while sent < BATCH_BYTES:
            await stream.wait_sendable()
            sent += stream.send_nowait([memoryview(whole)[sent:]])
    stream.close()


async def over(transport: Transport, batches: int) -> None:
    done = trio.Event()

    async def accept(stream: Stream) -> None:
        buffer, rest = memoryview(bytearray(RECEIVE_BYTES)), batches * BATCH_BYTES
        while rest and (count := await stream.receive_into(buffer)):
            rest -= count
        assert not rest
        done.set()

    async def serve(*, task_status: trio.TaskStatus[int]) -> None:
        await transport.listen("127.0.0.1", 0, accept, task_status=task_status)

    async def shake_hands(stream: Stream) -> None:
        with contextlib.suppress(PeerLost):  # closed by us
            await stream.receive_into(memoryview(bytearray(8)))

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve)
        stream = await transport.dial("127.0.0.1", port)
        nursery.start_soon(shake_hands, stream)
        await send(stream, batches)
        await done.wait()
        nursery.cancel_scope.cancel()


async def over_trio(credentials: Credentials, batches: int) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def receive() -> None:
        plain = await listeners[0].accept()
        stream = trio.SSLStream(plain, credentials.server, server_side=True)
        rest = batches * BATCH_BYTES
        while rest:
            rest -= len(await stream.receive_some(RECEIVE_BYTES))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        plain.setsockopt(6, 1, 1)
        stream = trio.SSLStream(plain, credentials.client, server_hostname=None)
        for _ in range(batches):
            await stream.send_all(b"".join(PIECES))
    await plain.aclose()
    await listeners[0].aclose()


def bios(credentials: Credentials, batches: int) -> None:
    """Encrypt and decrypt through memory alone: what BIOs cost before any socket."""
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = credentials.client.wrap_bio(here, there)
    server = credentials.server.wrap_bio(there, here, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    for _ in range(batches):
        client.write(b"".join(PIECES))
        rest = BATCH_BYTES
        while rest:
            rest -= server.read(RECEIVE_BYTES, buffer)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    batches = options.mebibytes * MIB // BATCH_BYTES
    with tempfile.TemporaryDirectory() as folder:
        credentials = Authority(Path(folder)).credentials("node")

    async def only_bios() -> None:
        bios(credentials, batches)

    kinds: dict[str, Callable[[], Awaitable[None]]] = {
        "plain": lambda: over(TcpTransport(), batches),
        "TLS on the socket": lambda: over(TlsTransport(credentials), batches),
        "trio.SSLStream": lambda: over_trio(credentials, batches),
        "BIOs, no socket": only_bios,
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind, run in kinds.items():
            began_at = time.perf_counter()
            await run()
            seconds[kind].append(time.perf_counter() - began_at)
    for kind, found in seconds.items():
        print(f"{kind:<20}{options.mebibytes / statistics.median(found):8.0f} MiB/s")


if __name__ == "__main__":
    trio.run(main)
