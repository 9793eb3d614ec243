"""The other side of a worker: it is started with the code of one revision, asked, and stopped whatever happens."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import Skipped
from benchmarks.processes import ROOT
from benchmarks.suite.works import Measured, Setting

STOP_SECONDS_MAX = 60.0


class Failed(Exception):
    """A worker could not measure; the message says why."""


@dataclass(frozen=True, slots=True)
class Side:
    """Whose code a worker runs: a Python with what it needs, the folder that holds the packages, and more variables."""

    python: Path
    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)


HERE = Side(Path(sys.executable), ROOT)


@dataclass(frozen=True, slots=True)
class Announced:
    """A work of a worker."""

    name: str
    unit: str
    seconds: float
    contestants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker, its works, and the inner loops that its code runs."""

    process: subprocess.Popen[str]
    works: Sequence[Announced]
    loops: str

    def measure(self, work: str, contestant: str, seconds: float) -> Measured:
        """Ask for one measurement.

        Raises:
            Failed: It could not measure, or it is gone.
        """
        ask = {"work": work, "contestant": contestant, "seconds": seconds}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(ask) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Failed("the worker has ended") from error
        return Measured(**next_message(self.process))


@contextmanager
def worker(scene: str, setting: Setting, side: Side = HERE) -> Iterator[Worker]:
    """Run a worker until the block ends.

    Raises:
        Skipped: This machine lacks something.
        Failed: The scene could not be opened.
    """
    flags = ["--quick"] * setting.is_quick + ["--without-peers"] * (not setting.with_peers)
    process = subprocess.Popen(
        [str(side.python), "-m", "benchmarks.suite.worker", scene, *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=side.root,
        env={**os.environ, **side.environment, "PYTHONPATH": str(side.root)},
    )
    try:
        said = next_message(process)
        works = [
            Announced(**work | {"contestants": tuple(work["contestants"])})
            for work in said["works"]
        ]
        yield Worker(process, works, said["loops"])
    except BaseException:
        process.terminate()
        raise
    finally:
        stop(process)


def next_message(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read what a worker says next."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Failed("the worker has ended")
    message: dict[str, Any] = json.loads(line)
    if "skipped" in message:
        raise Skipped(message["skipped"])
    if "problem" in message:
        raise Failed(message["problem"])
    return message


def stop(process: subprocess.Popen[str]) -> None:
    """End the input of a worker, so that it stops its servers; kill one that does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
