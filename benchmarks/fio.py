"""fio's nbd engine: one job at a time, data that compresses as real pages do."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Of each buffer this part is zeros; the rest is random.
COMPRESS_PERCENT = 60
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Job:
    """One fio job; `split` are the sizes of its requests, with how often each comes in percent."""

    mode: str
    request: str
    depth: int
    split: str = ""

    @property
    def name(self) -> str:
        return f"{self.request} {self.mode} depth {self.depth}"

    @property
    def side(self) -> str:
        """What its figures are of: of a mix those of the reads, which a program waits for."""
        return "write" if self.mode.endswith("write") else "read"


@dataclass(frozen=True, slots=True)
class Result:
    """What a job did; `pages` were read and written together."""

    iops: float
    bytes_per_second: float
    p50_us: float
    p99_us: float
    pages: float


def run(uri: str, job: Job, size_bytes: int, seconds: float, *, core: int | None = None) -> Result:
    """Run a job for some time within the first `size_bytes` of an export, on any core or on this one."""
    placed = [] if core is None else [f"--cpus_allowed={core}"]
    runtime = f"--runtime={int(seconds * 1000)}ms"
    return _run(uri, job, size_bytes, ["--time_based", runtime, *placed])


def fill(uri: str, size_bytes: int) -> None:
    """Write all pages once."""
    _run(uri, Job("write", "128k", 8), size_bytes, [])


def _run(uri: str, job: Job, size_bytes: int, more: Sequence[str]) -> Result:
    sizes = f"--bssplit={job.split}" if job.split else f"--bs={job.request}"
    command = [
        "fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--rw={job.mode}", "--thread",
        sizes, f"--iodepth={job.depth}", f"--size={size_bytes}",
        f"--buffer_compress_percentage={COMPRESS_PERCENT}", "--refill_buffers", "--randrepeat=1",
        "--norandommap", "--lat_percentiles=1", "--clat_percentiles=0", "--output-format=json", *more,
    ]  # fmt: skip
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    # A line of text precedes the JSON.
    start = done.stdout.find("{")
    if done.returncode or start < 0:
        raise RuntimeError(f"fio failed: {done.stderr or done.stdout}")
    job_result = json.loads(done.stdout[start:])["jobs"][0]
    if job_result["error"]:
        raise RuntimeError(f"fio: error {job_result['error']} in {job.name}")
    side: dict[str, Any] = job_result[job.side]
    # Not clat: that begins when libnbd has sent the request, and on a loopback link the answer may be there by then.
    percentiles = side["lat_ns"]["percentile"]
    return Result(
        iops=float(side["iops"]),
        bytes_per_second=float(side["bw_bytes"]),
        p50_us=float(percentiles["50.000000"]) / 1000,
        p99_us=float(percentiles["99.000000"]) / 1000,
        pages=(job_result["read"]["io_bytes"] + job_result["write"]["io_bytes"]) / PAGE_BYTES,
    )
