"""What a daemon of a benchmark spends its processor time on: samples of its stack, taken by the processor time that it uses.

A timer of the kernel (timer_create(2)) sends a signal of the daemon's own for each millisecond of processor time of the
whole process.  What compiled code takes counts as the line of Python that called it.  `benchmarks.profile` says when
counting begins anew, and when to write down what was counted.
"""

import collections
import ctypes
import json
import os
import signal
import struct
import time
from pathlib import Path
from types import FrameType
from typing import Any

# Signals that nothing else of a daemon uses.
SAMPLE, BEGIN, WRITE = signal.SIGRTMIN + 3, signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
NANOSECONDS = 1_000_000
# The folder that daemons write into.
VARIABLE = "RAMSTER_BENCH_SAMPLES"
_CLOCK_PROCESS_CPUTIME_ID = 2
# sigevent(3type): a value, a signal, how to tell (by a signal), and what is of no use then; itimerspec(3type).
_SIGEVENT = struct.Struct("@Pii48x")
_SIGEV_SIGNAL = 0
_ITIMERSPEC = struct.Struct("@4l")


class Sampler:
    """Counts where the main thread is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._functions = collections.Counter[tuple[str, str]]()
        self._began_at = time.process_time()

    def start(self) -> None:
        """Sample for ever."""
        signal.signal(SAMPLE, self._on_sample)
        signal.signal(BEGIN, self._on_begin)
        signal.signal(WRITE, self._on_write)
        libc = ctypes.CDLL(None, use_errno=True)
        timer = ctypes.c_void_p()
        event = _SIGEVENT.pack(0, SAMPLE, _SIGEV_SIGNAL)
        if libc.timer_create(_CLOCK_PROCESS_CPUTIME_ID, event, ctypes.byref(timer)):
            raise OSError(ctypes.get_errno(), "no timer for samples")
        libc.timer_settime(timer, 0, _ITIMERSPEC.pack(0, NANOSECONDS, 0, NANOSECONDS), None)

    def _on_sample(self, _number: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            self._functions[code.co_filename, code.co_qualname] += 1

    def _on_begin(self, *_: Any) -> None:
        self._functions.clear()
        self._began_at = time.process_time()

    def _on_write(self, *_: Any) -> None:
        counted = [[*where, count] for where, count in self._functions.most_common()]
        found = {"seconds": time.process_time() - self._began_at, "functions": counted}
        path = self._folder / f"{os.getpid()}.json"
        path.with_suffix(".new").write_text(json.dumps(found))
        path.with_suffix(".new").rename(path)


if folder := os.environ.get(VARIABLE):
    Sampler(Path(folder)).start()
