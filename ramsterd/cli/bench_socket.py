"""What a client pays for each page beside the page: there and back over a Unix socket, to another process."""

import os
import socket
import time

from config.limits import PAGE_BYTES
from ramsterd.admin.bench_rows import row_of
from ramsterd.admin.latencies import Latencies

REQUEST_BYTES = 28  # of NBD


def bench_socket(seconds: float) -> dict[str, object]:
    """Return a row: a request to a process that answers with a page, as a daemon does."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        answer(theirs)
        os._exit(0)
    theirs.close()
    latencies, until = Latencies(), time.perf_counter() + seconds
    request, page = bytes(REQUEST_BYTES), memoryview(bytearray(PAGE_BYTES))
    try:
        with ours:
            while (began_at := time.perf_counter()) < until:
                ours.sendall(request)
                got = 0
                while got < PAGE_BYTES:
                    got += ours.recv_into(page[got:])
                latencies.add(time.perf_counter() - began_at)
    finally:
        os.waitpid(child, 0)
    return row_of("socket", "socket", "read", latencies, pages_per_second=None, problem="")


def answer(theirs: socket.socket) -> None:
    """Answer each request with a page, until the other side closes."""
    page = bytes(PAGE_BYTES)
    try:
        while theirs.recv(REQUEST_BYTES):
            theirs.sendall(page)
    except OSError:
        pass  # it is gone
