"""The families of what keeps the daemon going while memory is short."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.host.daemon_protection import ProtectionStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def protection_metrics(protection: ProtectionStatistics) -> Iterator[Metric]:
    """Yield every family of one snapshot."""
    yield gauge(
        "protection", "Whether the memory of the daemon is locked, and whether the kernel knows that I/O waits"
        " for the daemon.", ["by"],
        by({"locked": protection.is_locked, "io_flusher": protection.is_io_flusher}),
    )  # fmt: skip
    yield gauge(
        "protection_oom_score_adj", "What the OOM killer adds to the score of the daemon; -1000 spares it.", [],
        one(protection.oom_score_adj),
    )  # fmt: skip
    yield gauge(
        "protection_spare_heap_bytes", "Free heap that was in memory when the daemon had started.", [],
        one(protection.spare_heap_bytes),
    )  # fmt: skip
    yield counter(
        "protection_major_faults", "Page faults since the start for which the daemon waited for a disk.", [],
        one(protection.major_faults_total),
    )  # fmt: skip
