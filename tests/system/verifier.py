"""fio that writes and verifies over and over, while a test does harm elsewhere."""

import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.system.daemons import MIB, wait_until

PAGE = 4096
DEPTH = 32
PASS_SECONDS_MAX = 90.0


class Verifier:
    """Passes of fio at depth 32 through one export: each writes all pages in random order, then reads them in another.

    `passes` counts those that ended well.  The first that fails ends the loop, and the block with it.
    """

    def __init__(self, uri: str, size_mebibytes: int, *, pass_seconds: float = 0) -> None:
        """Begin with the block.

        Args:
            uri: Of the export.
            size_mebibytes: How much of it is written, from its start.
            pass_seconds: How long a pass writes, at least: in bursts at full depth, with pauses between
                them.  For tests of what takes its time; what is asked meanwhile takes the processor from it.
        """
        self._uri = uri
        self._size = f"{size_mebibytes}m"
        self._pauses: list[str] = []
        if pass_seconds:
            # fio spins to keep to a rate, and sleeps to think.
            pause_seconds = pass_seconds / (size_mebibytes * MIB // PAGE // DEPTH)
            self._pauses = [f"--thinktime={pause_seconds * 1e6:.0f}", f"--thinktime_blocks={DEPTH}"]
        self._must_stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.failure = ""
        self.passes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the last pass end, and judge."""
        self._must_stop.set()
        self._thread.join(PASS_SECONDS_MAX)
        assert not self._thread.is_alive(), "a pass of fio does not end"
        if kind is None:
            assert not self.failure

    def wait_whole_pass(self, what: str) -> None:
        """Wait for a pass that begins from now on to end well."""
        wanted = self.passes + 2  # one is under way
        wait_until(
            lambda: self.passes >= wanted or self.failure,
            f"a pass of fio {what}",
            seconds_max=PASS_SECONDS_MAX,
        )
        assert not self.failure, f"{what}: {self.failure}"

    def _loop(self) -> None:
        while not (self.failure or self._must_stop.is_set()):
            self.failure = self._run(seed=self.passes + 1)
            self.passes += not self.failure

    def _run(self, seed: int) -> str:
        """Return what fio complained of, "" if of nothing."""
        command = [
            "fio", "--name=verify", "--ioengine=nbd", f"--uri={self._uri}", "--rw=randwrite",
            "--bs=4k", f"--size={self._size}", f"--iodepth={DEPTH}", f"--randseed={seed}",
            "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0",
            # It measures all other clocks first, for longer than it takes to write a mebibyte.
            "--clocksource=clock_gettime", *self._pauses,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=PASS_SECONDS_MAX
            )
        except subprocess.TimeoutExpired:
            return f"a pass takes more than {PASS_SECONDS_MAX:g} s"
        return f"{done.stderr}{done.stdout}" if done.returncode else ""
