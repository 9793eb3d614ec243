"""Disks to swap on: the figures of named ones, and the QEMU options that hold a file to them.

QEMU limits requests and bytes a second, and has no latency.  Reads that wait for each other, as those of swap do,
are held to the same time by a limit on requests a second: 1/86.5 s each, or 0.1 ms.  But a bucket holds a tenth of a
second, so that many requests pass at once after a pause, and a request of 2 MiB counts as one of 4 KiB.  Both favour
the disk.  The file itself is in the page cache of the host.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Disk:
    """Limits of a disk, and where they were read."""

    name: str
    read_requests_per_second: int
    write_requests_per_second: int
    read_bytes_per_second: int
    write_bytes_per_second: int
    source: str
    has_seeks: bool

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.read_requests_per_second:,} reads/s and"
            f" {self.write_requests_per_second:,} writes/s,"
            f" {self.read_bytes_per_second // 10**6} MB/s and"
            f" {self.write_bytes_per_second // 10**6} MB/s ({self.source})"
        )


# At queue depth 1, for 99 % of the requests of swap find the queue empty.
SATA_SSD = Disk(
    "Samsung SSD 850 EVO 1 TB",
    read_requests_per_second=10_000,
    write_requests_per_second=40_000,
    read_bytes_per_second=540_000_000,
    write_bytes_per_second=520_000_000,
    source="its data sheet: 4 KB random at queue depth 1; sequential",
    has_seeks=False,
)
# 1 / (seek + half a revolution): 7.4 + 4.16 ms for reads, 8.2 + 4.16 ms for writes.
HARD_DISK = Disk(
    "Western Digital Ultrastar DC HC310 (7200/min)",
    read_requests_per_second=86,
    write_requests_per_second=81,
    read_bytes_per_second=255_000_000,
    write_bytes_per_second=255_000_000,
    source="its OEM specification, 4.5: typical seek 7.4 and 8.2 ms, latency 4.16 ms; its data sheet",
    has_seeks=True,
)


def drive(name: str, path: Path, disk: Disk, *, is_read_only: bool = False) -> list[str]:
    """Return the QEMU options that make a raw file the next disk of a guest."""
    limits = {
        "iops-read": disk.read_requests_per_second,
        "iops-write": disk.write_requests_per_second,
        "bps-read": disk.read_bytes_per_second,
        "bps-write": disk.write_bytes_per_second,
    }
    group = {"qom-type": "throttle-group", "id": f"{name}-limits", "limits": limits}
    file = {"driver": "file", "filename": str(path), "read-only": is_read_only}
    throttled = {
        "driver": "throttle",
        "node-name": name,
        "throttle-group": f"{name}-limits",
        "read-only": is_read_only,
        "file": {"driver": "raw", "read-only": is_read_only, "file": file},
    }
    return [
        "-object", json.dumps(group),
        "-blockdev", json.dumps(throttled),
        "-device", f"virtio-blk-pci,drive={name}",
    ]  # fmt: skip
