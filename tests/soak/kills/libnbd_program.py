"""libnbd under kills: run by the interpreter that has its module, `libnbd_program.py URI PAGES SEED PAUSE_SECONDS`.

32 requests at a time, writes and reads of runs of pages; it looks for answers once in each pause.  When the connection ends it connects again, and reads what it
does not know the outcome of: each such page must be the old or the new version, whole.  Prints a line of JSON now and
then, for a request that was answered, and one at the end; the end of its standard input tells it to read everything and
stop.
"""

import json
import random
import select
import struct
import sys
import time
from typing import Any

import nbd  # type: ignore[import-not-found]  # of the system's interpreter

PAGE = 4096
DEPTH = 32
RUN_PAGES = (1, 1, 1, 2, 8, 32)
HEAD = struct.Struct(">QQ")
# Most pages do not shrink; the others make versions that don't fit where the one before stood, and blocks to compact.
NOISE_BYTES = (200, 1500, 2800, 4080, 4080, 4080, 4080, 4080)
CONNECT_SECONDS_MAX = 30.0
CONNECT_PAUSE_SECONDS = 0.005
POLL_MILLISECONDS = 1000
SILENCE_SECONDS_MAX = 30.0
SAY_SECONDS = 0.005


def page_of(index: int, version: int) -> bytes:
    """Return the page that was written as a version, of some length and then zeros; 0 is a page that never was."""
    if not version:
        return bytes(PAGE)
    rng = random.Random(index << 40 | version)
    noise = HEAD.pack(index, version) + rng.randbytes(rng.choice(NOISE_BYTES))
    return noise + bytes(PAGE - len(noise))


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Failed(Exception):
    """Something did not hold."""


class Request:
    """One run of pages that nobody else has in flight."""

    def __init__(self, first: int, pages: bytes, versions: list[int]) -> None:
        self.first = first
        # What is written; without it this is a read.
        self.versions = versions
        self.buffer = (
            nbd.Buffer.from_bytearray(bytearray(pages)) if versions else nbd.Buffer(len(pages))
        )
        self.bytes = len(pages)
        # 0: no answer; else what libnbd says.
        self.answer: int | None = None
        self.began_at = time.perf_counter()

    @property
    def indexes(self) -> range:
        return range(self.first, self.first + self.bytes // PAGE)


class Disk:
    """What was written, and a connection to it."""

    def __init__(self, uri: str, pages: int, seed: int, pause_seconds: float) -> None:
        self._uri = uri
        self._pause_seconds = pause_seconds
        self._rng = random.Random(seed)
        # The versions that each page may have: one, unless nobody knows whether a write was carried out.
        self._may_be: list[list[int]] = [[0] for _ in range(pages)]
        self._newest = 0
        self._flying: dict[int, Request] = {}
        self._busy = bytearray(pages)
        self._handle: Any = None
        self.answered = self.checked = self.connections = self.unknown = 0
        self._say_at = 0.0

    def run(self) -> None:
        self._connect()
        self._fill()
        while not select.select([sys.stdin], [], [], 0)[0]:
            while len(self._flying) < DEPTH:
                self._begin(self._next())
            time.sleep(self._pause_seconds)
            self._progress()
        self._drain()
        for first in range(0, len(self._may_be), RUN_PAGES[-1]):
            count = min(RUN_PAGES[-1], len(self._may_be) - first)
            while not self._begin(Request(first, bytes(count * PAGE), [])):
                self._progress()
            self._drain()
        say(
            answered=self.answered,
            checked=self.checked,
            connections=self.connections,
            unknown=self.unknown,
        )

    def _fill(self) -> None:
        """Write all of it, so that most of it is at peers from the first kill on."""
        for first in range(0, len(self._may_be), RUN_PAGES[-1]):
            while len(self._flying) == DEPTH:
                self._progress()
            self._begin(self._write(first, min(RUN_PAGES[-1], len(self._may_be) - first)))
        self._drain()
        say(filled=True)

    def _drain(self) -> None:
        while self._flying:
            self._progress()

    def _next(self) -> Request:
        while True:
            count = self._rng.choice(RUN_PAGES)
            first = self._rng.randrange(len(self._may_be) - count + 1)
            if not any(self._busy[first : first + count]):
                break
        # What nobody knows is read first.
        if self._rng.random() < 0.5 or any(
            len(self._may_be[i]) > 1 for i in range(first, first + count)
        ):
            return Request(first, bytes(count * PAGE), [])
        return self._write(first, count)

    def _write(self, first: int, count: int) -> Request:
        versions = [self._newest + 1 + each for each in range(count)]
        self._newest += count
        pages = b"".join(page_of(first + at, version) for at, version in enumerate(versions))
        return Request(first, pages, versions)

    def _begin(self, request: Request) -> bool:
        """Send it; a connection that has ended shows in `_progress`."""

        def completed(error: Any) -> int:
            request.answer = int(getattr(error, "value", error) or 0)
            return 1

        try:
            if request.versions:
                cookie = self._handle.aio_pwrite(request.buffer, request.first * PAGE, completed)
            else:
                cookie = self._handle.aio_pread(request.buffer, request.first * PAGE, completed)
        except nbd.Error:
            self._reconnect()
            return False
        for index in request.indexes:
            self._busy[index] = 1
        self._flying[cookie] = request
        return True

    def _progress(self) -> None:
        begun = time.perf_counter()
        try:
            if (
                self._flying
                and self._handle.poll(POLL_MILLISECONDS) == 0
                and time.perf_counter() - begun > SILENCE_SECONDS_MAX
            ):
                raise Failed("no answer")
        except nbd.Error:
            pass
        is_over = self._handle.aio_is_dead() or self._handle.aio_is_closed()
        for cookie in [
            each for each, request in self._flying.items() if request.answer is not None
        ]:
            request = self._flying[cookie]
            if request.answer and is_over:
                continue  # ended with its connection: unknown
            del self._flying[cookie]
            self._on_answer(request)
        if is_over:
            self._reconnect()

    def _on_answer(self, request: Request) -> None:
        if request.answer:
            raise Failed(f"pages {request.indexes}: errno {request.answer}")
        now = time.perf_counter()
        if now >= self._say_at:
            self._say_at = now + SAY_SECONDS
            say(began_at=request.began_at, answered_at=now)
        self.answered += 1
        for index in request.indexes:
            self._busy[index] = 0
        if request.versions:
            for index, version in zip(request.indexes, request.versions, strict=False):
                self._may_be[index] = [version]
            return
        data = request.buffer.to_bytearray()
        for at, index in enumerate(request.indexes):
            self._check(index, bytes(data[at * PAGE : at * PAGE + PAGE]))

    def _check(self, index: int, page: bytes) -> None:
        self.checked += 1
        for version in self._may_be[index]:
            if page == page_of(index, version):
                self._may_be[index] = [version]
                return
        raise Failed(
            f"page {index} is {HEAD.unpack_from(page)}, and may be one of {self._may_be[index]}"
        )

    def _reconnect(self) -> None:
        """Whatever is in flight may have been carried out or not."""
        for request in self._flying.values():
            for index, version in zip(request.indexes, request.versions, strict=False):
                self._may_be[index].append(version)
                self.unknown += 1
            for index in request.indexes:
                self._busy[index] = 0
        self._flying.clear()
        self._connect()

    def _connect(self) -> None:
        deadline = time.perf_counter() + CONNECT_SECONDS_MAX
        while True:
            # An old handle keeps its buffers alive until it is gone.
            self._handle = nbd.NBD()
            try:
                self._handle.connect_uri(self._uri)
            except nbd.Error as error:
                if time.perf_counter() > deadline:
                    raise Failed(f"can't connect: {error}") from None
                time.sleep(CONNECT_PAUSE_SECONDS)
                continue
            self.connections += 1
            self._say_at = 0.0
            return


if __name__ == "__main__":
    try:
        Disk(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])).run()
    except Failed as failure:
        say(failure=str(failure))
        sys.exit(1)
