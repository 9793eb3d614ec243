"""Starve one process of CPU: the lowest priority, on one core that busy loops share.  And record when it ran.

The loops are processes of ours, as many as asked for, and end with the block.  A process that the kernel lets wait
while it wants to run is what the second number of /proc/PID/schedstat counts; sampled often enough, that tells
each wait with its end.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.02
# Shorter waits happen to everybody on a busy machine.
WAIT_SECONDS_MIN = 0.05
LOWEST_PRIORITY = 19
BUSY_LOOP = "while True: pass"


@dataclass(frozen=True, slots=True)
class Wait:
    """A time in which a process wanted to run and did not; seconds since the stress began."""

    begin: float
    end: float
    ran_seconds: float  # on a core, from there to the end of the next wait


@contextmanager
def starved(pid: int, *, loops: int) -> Iterator[None]:
    """Starve a process until the block ends; then it has all cores again, and its priority if we may give it back.

    With eight loops it gets some milliseconds every few seconds.
    """
    cores, priority = os.sched_getaffinity(pid), os.getpriority(os.PRIO_PROCESS, pid)
    core = {max(cores)}
    with ExitStack() as stack:
        for _ in range(loops):
            loop = subprocess.Popen([sys.executable, "-c", BUSY_LOOP])
            stack.callback(_end, loop)
            os.sched_setaffinity(loop.pid, core)
        _treat(pid, core, LOWEST_PRIORITY)
        try:
            yield
        finally:
            _treat(pid, cores, priority)


class Recorder:
    """Records the waits of a process."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/schedstat")
        self._began = time.monotonic()
        self._ran, self._waited = self._read()
        self._ran_before = self._ran
        self._spans: list[tuple[float, float]] = []
        self._ran_seconds: list[float] = []

    def waits(self) -> list[Wait]:
        """Return all so far; the last is followed by what it ran since."""
        ran = [*self._ran_seconds[1:], self._read()[0] - self._ran_before]
        return [
            Wait(begin, end, seconds)
            for (begin, end), seconds in zip(self._spans, ran, strict=False)
        ]

    @property
    def seconds(self) -> float:
        """Return for how long it has been recorded."""
        return time.monotonic() - self._began

    def sample(self) -> None:
        """Note the wait that has ended since the last time, if any; then sleep a little."""
        (ran, waited), now = self._read(), self.seconds
        seconds, self._waited = waited - self._waited, waited
        if seconds >= WAIT_SECONDS_MIN:
            earliest = self._spans[-1][1] if self._spans else 0.0
            self._spans.append((max(earliest, now - seconds), now))
            # The slice after this wait may have begun before we looked.
            self._ran_seconds.append(self._ran - self._ran_before)
            self._ran_before = self._ran
        self._ran = ran
        time.sleep(SAMPLE_SECONDS)

    def _read(self) -> tuple[float, float]:
        """Return the seconds it ran and the seconds it waited."""
        ran, waited, _ = self._path.read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9


def _treat(pid: int, cores: set[int], priority: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
        try:
            os.setpriority(os.PRIO_PROCESS, int(task.name), priority)
        except PermissionError:
            assert priority < LOWEST_PRIORITY, "anyone may be nice"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
