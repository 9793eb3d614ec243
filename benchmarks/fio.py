"""fio's nbd engine: one job at a time, data that compresses as real pages do."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

# Of each buffer this part is zeros; the rest is random.
COMPRESS_PERCENT = 60


@dataclass(frozen=True, slots=True)
class Job:
    """One fio job."""

    mode: str
    request: str
    depth: int

    @property
    def name(self) -> str:
        return f"{self.request} {self.mode} depth {self.depth}"

    @property
    def is_read(self) -> bool:
        return self.mode.endswith("read")


@dataclass(frozen=True, slots=True)
class Result:
    """What a job did."""

    iops: float
    bytes_per_second: float
    p50_us: float


def run(uri: str, job: Job, size_bytes: int, seconds: float, *, core: int | None = None) -> Result:
    """Run a job for some time within the first `size_bytes` of an export, on any core or on this one."""
    placed = [] if core is None else [f"--cpus_allowed={core}"]
    runtime = f"--runtime={int(seconds * 1000)}ms"
    return _run(uri, job, size_bytes, ["--time_based", runtime, *placed])


def fill(uri: str, size_bytes: int) -> None:
    """Write all pages once."""
    _run(uri, Job("write", "128k", 8), size_bytes, [])


def _run(uri: str, job: Job, size_bytes: int, more: list[str]) -> Result:
    command = [
        "fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--rw={job.mode}", "--thread",
        f"--bs={job.request}", f"--iodepth={job.depth}", f"--size={size_bytes}",
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
    side: dict[str, Any] = job_result["read" if job.is_read else "write"]
    return Result(
        iops=float(side["iops"]),
        bytes_per_second=float(side["bw_bytes"]),
        # Not clat: that begins when libnbd has sent the request, and on a loopback link the answer may be
        # there by then.
        p50_us=float(side["lat_ns"]["percentile"]["50.000000"]) / 1000,
    )
