from pathlib import Path
from typing import Any

from ramsterd.cli.ask import no_answer
from ramsterd.cli.format import (
    format_bad_copies,
    format_log,
    format_resize,
)
from ramsterd.cli.memory import format_memory, format_set


def test_a_log_that_nobody_reads_is_shown() -> None:
    assert format_log({"dropped_lines_total": 0}) == []
    [line] = format_log({"dropped_lines_total": 12})
    assert line == "log            12 lines dropped: nobody reads standard error"


def test_a_socket_that_can_not_be_used_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    assert "systemctl start ramsterd" in no_answer(path, FileNotFoundError())
    assert "--socket PATH" in no_answer(path, FileNotFoundError())
    assert "has ended" in no_answer(path, ConnectionRefusedError())
    assert no_answer(path, PermissionError()).startswith(
        f"no access to {path}: this user may not enter the folder {tmp_path}"
    )
    path.touch()
    assert f"this socket is for the group {path.group()}; " in no_answer(path, PermissionError())
    where = ", and no socket: name the [control] socket with --socket PATH"
    assert no_answer(tmp_path, ConnectionRefusedError()) == f"{tmp_path} is a folder{where}"
    assert no_answer(path, ConnectionRefusedError()).endswith(f"is a file{where}")
    assert no_answer(path, TimeoutError("timed out")).endswith(": timed out")


def test_a_shrink_that_stopped_short_says_how_much_room_there_is_for_writes() -> None:
    mib = 1 << 20
    now = {
        "state": "stopped",
        "target_bytes": 16 * mib,
        "budget_bytes": 54 * mib,
        "resident_bytes": 46 * mib,
        "foreign_bytes": 0,
    }
    assert format_memory(now) == (
        "shrinking to 16 MiB stopped: no peer has room for the rest. 46 MiB are in use, 0 B of them by pages of other"
        " nodes. The budget is 54 MiB, with 8 MiB free for writes"
    )
    assert format_resize(now) == "; shrinking to 16 MiB stopped: no peer has room for the rest"


def test_a_budget_that_is_set_is_said_to_end_with_this_run() -> None:
    now = {"state": "done", "target_bytes": 4096, "budget_bytes": 4096, "resident_bytes": 0}
    assert format_set(now) == (
        "the budget is 4 KiB: 0 B in use. The next start takes that of [memory] budget in ramsterd.toml"
    )


def trust(*, missing: int, seconds: float = 0.0) -> dict[str, Any]:
    bad = {"missing": missing, "damaged": 3, "disowned": 0}
    return {
        "bad_copies_total": bad,
        "distrusted_seconds": seconds,
        "unproven_pages": 0,
        "credit_pages": 9,
    }


def test_the_status_names_who_lost_pages_and_how_long_it_gets_none() -> None:
    engine = {
        "trust": {
            "beta": trust(missing=40, seconds=3.7),
            "gamma": {**trust(missing=0), "bad_copies_total": {}},
        },
    }
    assert format_bad_copies(engine) == [
        (
            "BAD COPIES     of the pages that beta stored: 40 missing, 3 damaged, 0 disowned (it says that it has none);"
            " beta gets no new pages for 4 s"
        )
    ]
