from typing import Any

from ramsterd.cli.format_protection import format_protection
from ramsterd.host.daemon_protection import ProtectionStatistics
from ramsterd.observe.snapshot import to_plain


def plain(**changed: Any) -> dict[str, Any]:
    made = {
        "is_locked": True, "locked_bytes": 1 << 33, "lock_limit_bytes": None, "is_io_flusher": True,
        "oom_score_adj": -1000, "spare_heap_bytes": 20 << 20, "major_faults_total": 1,
    }  # fmt: skip
    shown = to_plain(ProtectionStatistics(**{**made, **changed}))
    assert isinstance(shown, dict)
    return shown


def test_a_daemon_that_is_protected() -> None:
    assert format_protection(plain()) == (
        "protection     memory is locked; an I/O flusher; OOM score -1,000; 20 MiB of spare heap;"
        " 1 page fault from disk since the start"
    )


def test_a_daemon_that_is_not() -> None:
    nothing = {
        "is_locked": False,
        "is_io_flusher": False,
        "oom_score_adj": 0,
        "spare_heap_bytes": 0,
    }
    assert format_protection(
        plain(**nothing, lock_limit_bytes=8 << 20, major_faults_total=2000)
    ) == (
        "protection     memory is not locked (it may lock 8 MiB at most); no I/O flusher; OOM score 0;"
        " 0 B of spare heap; 2,000 page faults from disk since the start"
    )
    assert format_protection(plain(**nothing)).startswith(
        "protection     memory is not locked; no I/O flusher"
    )
