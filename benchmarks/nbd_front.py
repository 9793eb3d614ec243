# ruff: noqa: ARG002  (a pager that ignores what the interface passes)
"""What the NBD layer itself costs: fio against our server over a dict of bytes, and against nbdkit memory.

    python benchmarks/nbd_front.py [--rounds 5] [--seconds 2] [--jobs randwrite-4k-32,...]

No codec, no arena: the store is `bytes` in a dict, so the ratio is an upper bound for the whole daemon.
Both servers get the same jobs, interleaved; medians are printed.  Needs fio with the nbd engine, and nbdkit.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from config.limits import PAGE_BYTES
from ramsterd.core.page import PoolId
from ramsterd.nbd.export import Export
from ramsterd.nbd.server import NbdServer
from ramsterd.pager import GetOutcome, GetResult, PutOutcome, StatusRun

EXPORT_BYTES = 256 * 1024 * 1024


class Job(NamedTuple):
    """One fio job."""

    mode: str
    sector_bytes: str
    depth: int
    # IOPS, or the median latency in microseconds.
    by_latency: bool = False

    @property
    def name(self) -> str:
        return f"{self.mode}-{self.sector_bytes}-{self.depth}"


JOBS = [
    Job("randwrite", "4k", 32),
    Job("randread", "4k", 32),
    Job("randwrite", "4k", 1, by_latency=True),
    Job("randread", "4k", 1, by_latency=True),
    Job("write", "128k", 4),
    Job("read", "128k", 4),
]


class DictPager:
    """The quickest pager Python can be: nothing waits, one object, pages as bytes by index."""

    def __init__(self) -> None:
        self._pages: dict[int, bytes] = {}

    def get(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        page = self._pages.get
        if count == 1:
            return [page(index)]
        return [page(each) for each in range(index, index + count)]

    def put(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        pages: memoryview,
        done: Callable[[PutOutcome], None],
    ) -> PutOutcome | None:
        if len(pages) == PAGE_BYTES:
            self._pages[index] = bytes(pages)
            return PutOutcome.STORED
        for start in range(0, len(pages), PAGE_BYTES):
            self._pages[index] = bytes(pages[start : start + PAGE_BYTES])
            index += 1
        return PutOutcome.STORED

    def patch(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        offset: int,
        data: bytes,
        done: Callable[[PutOutcome | GetOutcome], None],
    ) -> PutOutcome | GetOutcome | None:
        raise NotImplementedError("the jobs are aligned")

    def put_zeros(self, pool: PoolId, object_id: bytes, index: int, count: int) -> PutOutcome:
        self.flush(pool, object_id, index, count)
        return PutOutcome.STORED

    def flush(self, pool: PoolId, object_id: bytes, index: int, count: int) -> None:
        for each in range(index, index + count):
            self._pages.pop(each, None)

    def settle(self) -> None:
        pass

    def call_settled(self, callback: Callable[[], None]) -> None:
        pass

    def status(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, runs_max: int
    ) -> list[StatusRun]:
        raise NotImplementedError("the jobs read and write")

    def flush_slice(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, pages_max: int
    ) -> int:
        raise NotImplementedError("the jobs read and write")

    def bring_home(
        self,
        pool: PoolId,
        object_id: bytes,
        index: int,
        count: int,
        done: Callable[[GetResult], None],
    ) -> GetResult | None:
        raise NotImplementedError("the jobs read and write")

    def replicate(
        self, pool: PoolId, object_id: bytes, index: int, count: int, done: Callable[[bool], None]
    ) -> bool | None:
        return True


async def serve(socket_path: Path) -> None:
    export = Export(name="", size=EXPORT_BYTES, pool=PoolId(1), object_id=b"disk")
    await NbdServer(DictPager(), [export], socket_path=socket_path).serve()


@contextmanager
def running(command: list[str], socket_path: Path) -> Iterator[str]:
    """Run a server until the block ends; yield its URI once the socket is there."""
    with subprocess.Popen(command) as process:
        try:
            while not socket_path.exists():
                assert process.poll() is None, "the server ended"
            yield f"nbd+unix:///?socket={socket_path}"
        finally:
            process.terminate()


def run_fio(uri: str, job: Job, seconds: float) -> float:
    command = [
        "fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--rw={job.mode}",
        f"--bs={job.sector_bytes}", f"--iodepth={job.depth}", f"--size={EXPORT_BYTES}",
        "--time_based", f"--runtime={seconds}", "--output-format=json", "--randrepeat=1",
    ]  # fmt: skip
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(output[output.index("{") :])["jobs"][0]
    side = result["read" if job.mode.endswith("read") else "write"]
    if job.by_latency:
        return float(side["clat_ns"]["percentile"]["50.000000"]) / 1000
    return float(side["iops"])


def compare(job: Job, ours: str, theirs: str, *, rounds: int, seconds: float) -> None:
    for uri in (ours, theirs):
        run_fio(uri, Job("write", "128k", 4), 0.5)
    pairs = [(run_fio(ours, job, seconds), run_fio(theirs, job, seconds)) for _ in range(rounds)]
    our_median, their_median = (statistics.median(side) for side in zip(*pairs, strict=True))
    unit = "us p50" if job.by_latency else "/s"
    ratio = our_median / their_median
    print(
        f"{job.name:18} {our_median:9.0f} {unit:6} nbdkit memory {their_median:9.0f}  {ratio:.2f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path, help="only serve at this socket")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--jobs", default=",".join(job.name for job in JOBS))
    options = parser.parse_args()
    if options.serve is not None:
        trio.run(serve, options.serve)
        return
    wanted = options.jobs.split(",")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        nbdkit = ["nbdkit", "-f", "-U", str(theirs), "memory", str(EXPORT_BYTES)]
        with (
            running([sys.executable, __file__, "--serve", str(ours)], ours) as our_uri,
            running(nbdkit, theirs) as their_uri,
        ):
            for job in JOBS:
                if job.name in wanted:
                    compare(job, our_uri, their_uri, rounds=options.rounds, seconds=options.seconds)


if __name__ == "__main__":
    main()
