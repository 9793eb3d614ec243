"""What a running daemon says of itself (`ramsterctl status -o json`), as far as the checks ask for it.  Pure."""

from typing import Any

from ramsterd.doctor.facts import Process, Running


def running_of(status: dict[str, Any], process: Process | None) -> Running:
    """Return a daemon by its status; `process` is None where it can't be seen.

    Raises:
        KeyError, TypeError, ValueError: It is the status of something else.
    """
    store = status["engine"]["store"]
    reserve = store["reserve"]
    return Running(
        version=str(status["version"]),
        build=str(status.get("build", "")),
        budget_bytes=int(store["zbud"]["budget_bytes"]),
        keeper=str(status["memory"]["keeper"]),
        reserve_bytes=int(reserve["wanted_bytes"]),
        ready_bytes=int(reserve["resident_bytes"]),
        is_reserve_short=bool(reserve["is_short"]),
        process=process or _own_word(status["protection"], status["descriptors"]),
    )


def _own_word(protection: dict[str, Any], descriptors: dict[str, Any]) -> Process:
    return Process(
        pid=0,
        is_locked=bool(protection["is_locked"]),
        locked_bytes=int(protection["locked_bytes"]),
        oom_score_adj=int(protection["oom_score_adj"]),
        is_io_flusher=bool(protection["is_io_flusher"]),
        descriptors_max=int(descriptors["limit"]),
    )
