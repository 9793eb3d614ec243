"""Clients whose server is killed: each judges all that it reads, and tells when it was first answered after a kill."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from ramsterd.client.nbd import NbdClient
from tests.helpers.requirements import SYSTEM_PYTHON
from tests.soak.kills import libnbd_program_path
from tests.system.daemons import EXPORT, MIB, Node, wait_until
from tests.system.verifier import Verifier

ANSWER_SECONDS_MAX: Final = 30.0
FINISH_SECONDS_MAX: Final = 120.0
# At the end of the disk: what fio does not write.
PROBE_BYTES: Final = 4096
_PROBE_SECONDS: Final = 0.002


class KillsClient(Protocol):
    """What a run of kills asks of a client."""

    name: str

    def first_answer(self, after: float) -> float:
        """Wait for the answer to a request that began after a moment; return when it came."""
        ...

    def check(self) -> None:
        """Raise AssertionError if something was wrong so far."""
        ...

    def finish(self) -> str:
        """Have everything read and checked; return what was done, for the report."""
        ...


class QemuClient:
    """fio verifies at depth 32, on a disk that QEMU's own client reaches us for; beside it one page is read."""

    name = "QEMU"

    def __init__(self, node: Node, folder: Path, size_bytes: int, stack: ExitStack) -> None:
        self._socket = folder / "qemu"
        stack.enter_context(self._qemu(node))
        self._probe_at = size_bytes - PROBE_BYTES
        self._page = bytes(range(256)) * (PROBE_BYTES // 256)
        with NbdClient.connect(self._socket) as client:
            client.write(self._probe_at, self._page)
        uri = f"nbd+unix:///?socket={self._socket}"
        self._fio = Verifier(uri, size_bytes // MIB - 1)
        stack.enter_context(self._fio)
        self._must_stop = threading.Event()
        self._failure = ""
        # When a read began, and when it was answered.
        self._last = (0.0, 0.0)
        thread = threading.Thread(target=self._probe, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._must_stop.set)

    @contextmanager
    def _qemu(self, node: Node) -> Iterator[None]:
        options = (
            f"driver=nbd,server.type=unix,server.path={node.nbd},export={EXPORT},reconnect-delay=60"
        )
        command = [
            "qemu-nbd", "--socket", str(self._socket), "--persistent", "--shared=4",
            "--discard=unmap", "--cache=none", "--image-opts", options,
        ]  # fmt: skip
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: self._socket.exists() or process.poll(), "qemu-nbd listens")
            yield
        finally:
            process.terminate()
            process.wait()
            self._socket.unlink(missing_ok=True)

    def _probe(self) -> None:
        try:
            with NbdClient.connect(self._socket, silence_seconds_max=FINISH_SECONDS_MAX) as client:
                while not self._must_stop.is_set():
                    began_at = time.perf_counter()
                    assert client.read(self._probe_at, PROBE_BYTES) == self._page, "the page read"
                    self._last = began_at, time.perf_counter()
                    time.sleep(_PROBE_SECONDS)
        except Exception as error:
            self._failure = repr(error)

    def first_answer(self, after: float) -> float:
        """See `KillsClient`."""
        return wait_until(
            lambda: self._last[1] if self._last[0] > after or self._failure else 0.0,
            "an answer to QEMU",
            seconds_max=ANSWER_SECONDS_MAX,
        )

    def check(self) -> None:
        """See `KillsClient`."""
        assert not self._failure, self._failure
        assert not self._fio.failure, self._fio.failure

    def finish(self) -> str:
        """See `KillsClient`."""
        self._fio.wait_whole_pass("after the last kill")
        self.check()
        return f"{self._fio.passes} passes of fio"


class LibnbdClient:
    """Requests at depth 32 through libnbd, which connects again by itself; what is read is judged by version."""

    name = "libnbd"

    def __init__(
        self,
        node: Node,
        size_bytes: int,
        seed: int,
        stack: ExitStack,
        *,
        pause_seconds: float = 0.0,
    ) -> None:
        command = [
            SYSTEM_PYTHON,
            str(libnbd_program_path()),
            node.uri,
            str(size_bytes // 4096),
            str(seed),
            str(pause_seconds),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(self._end)
        self._said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        wait_until(
            lambda: self._has_failed() or any("filled" in each for each in self._said),
            "libnbd has filled the disk",
            seconds_max=FINISH_SECONDS_MAX,
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.append(json.loads(line))

    def first_answer(self, after: float) -> float:
        """See `KillsClient`."""
        return wait_until(
            lambda: time.perf_counter() if self._has_failed() else self._answered_after(after),
            "an answer to libnbd",
            seconds_max=ANSWER_SECONDS_MAX,
        )

    def _answered_after(self, after: float) -> float:
        """Return when the first request was answered that began after a moment; 0: none yet."""
        found = 0.0
        for said in reversed(self._said):
            if said.get("began_at", 0.0) <= after:
                break
            found = said["answered_at"]
        return found

    def _has_failed(self) -> bool:
        return self._process.poll() is not None or any("failure" in each for each in self._said)

    def check(self) -> None:
        """See `KillsClient`."""
        if self._has_failed():
            self._reader.join()
            raise AssertionError(self._said[-1:])

    def finish(self) -> str:
        """See `KillsClient`."""
        self.check()
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(FINISH_SECONDS_MAX)
        self._reader.join()
        assert status == 0, self._said[-1:]
        last = self._said[-1]
        return (
            f"{last['answered']} requests answered, {last['checked']} pages checked,"
            f" {last['unknown']} writes of unknown outcome, {last['connections']} connections"
        )
