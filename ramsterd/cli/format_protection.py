"""The line of `ramsterctl status` about what keeps the daemon going while memory is short.  Pure."""

from typing import Any

from config.units import human_bytes
from ramsterd.cli.status_line import line


def format_protection(protection: dict[str, Any]) -> str:
    """Return it."""
    limit = protection["lock_limit_bytes"]
    locked = "memory is locked"
    if not protection["is_locked"]:
        may = "" if limit is None else f" (it may lock {human_bytes(limit)} at most)"
        locked = f"memory is not locked{may}"
    flusher = "an I/O flusher" if protection["is_io_flusher"] else "no I/O flusher"
    spare = human_bytes(protection["spare_heap_bytes"])
    faults = protection["major_faults_total"]
    return line(
        "protection",
        f"{locked}; {flusher}; OOM score {protection['oom_score_adj']:,}; {spare} of spare heap;"
        f" {faults:,} page {'fault' if faults == 1 else 'faults'} from disk since the start",
    )
