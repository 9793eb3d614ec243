from pathlib import Path
from typing import Any

import pytest

from ramsterd.cli.ask import no_answer
from ramsterd.cli.format import (
    format_bad_copies,
    format_log,
    format_nodes,
    format_resize,
)
from ramsterd.cli.memory import format_memory


def row(number: int, *, is_linked: bool, free_bytes: int | None) -> dict[str, Any]:
    return {
        "config": {
            "number": number,
            "name": "beta",
            "address": "127.0.0.1",
            "port": 7702,
            "cordoned": False,
        },
        "state": "up" if is_linked else "down",
        "reason": "silent",
        "link": "linked" if is_linked else "unreachable",
        "link_reason": "" if is_linked else "no route to host",
        "is_local": False,
        "is_linked": is_linked,
        "trust": None,
        "status": None if free_bytes is None else {"free_bytes": free_bytes},
    }


def test_free_memory_is_shown_as_people_compare_it() -> None:
    assert format_nodes([row(2, is_linked=True, free_bytes=44_024_389)]).endswith(" 42 MiB")


def test_what_a_node_said_before_its_link_was_lost_is_not_shown() -> None:
    assert " 42 MiB" not in format_nodes([row(2, is_linked=False, free_bytes=44_024_389)])


def test_a_node_that_has_said_nothing_yet_shows_nothing() -> None:
    assert format_nodes([row(2, is_linked=True, free_bytes=None)]).endswith(" -")


def test_a_log_that_nobody_reads_is_shown() -> None:
    assert format_log({"dropped_lines_total": 0}) == []
    [line] = format_log({"dropped_lines_total": 12})
    assert line == "log            12 lines dropped: nobody reads standard error"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "no route to host"),
        ({"link": "refused_here"}, "this node refuses it: no route to host"),
        ({"link": "refused_there"}, "it refuses this node: no route to host"),
        ({"link_reason": ""}, "silent"),
        ({"state": "left", "reason": "said goodbye"}, "said goodbye"),
    ],
)
def test_a_node_without_a_link_has_a_reason(changes: dict[str, str], why: str) -> None:
    text = format_nodes([row(2, is_linked=False, free_bytes=None) | changes])
    assert text.splitlines()[0].endswith(" WHY NO LINK")
    assert text.endswith(f" -          {why}")


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


def trust(*, missing: int, seconds: float = 0.0) -> dict[str, Any]:
    bad = {"missing": missing, "damaged": 3, "disowned": 0}
    return {
        "bad_copies_total": bad,
        "distrusted_seconds": seconds,
        "unproven_pages": 0,
        "credit_pages": 9,
    }


def test_bad_copies_stand_beside_the_node_that_kept_them() -> None:
    shown = row(2, is_linked=True, free_bytes=44_024_389)
    shown["trust"] = trust(missing=40)
    assert format_nodes([shown]).endswith(" 43 42 MiB")


def test_the_status_names_who_lost_pages_and_how_long_it_gets_none() -> None:
    engine = {
        "trust": {
            "beta": trust(missing=40, seconds=3.7),
            "gamma": {**trust(missing=0), "bad_copies_total": {}},
        },
    }
    assert format_bad_copies(engine) == [
        "BAD COPIES     at beta: 40 missing, 3 damaged, 0 disowned; beta gets no new pages for 4 s"
    ]
