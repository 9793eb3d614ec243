from typing import Any

from ramsterd.ctl import format_log, format_nodes


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
        "is_local": False,
        "is_linked": is_linked,
        "status": None if free_bytes is None else {"free_bytes": free_bytes},
    }


def test_free_memory_is_shown_as_people_compare_it() -> None:
    assert format_nodes([row(2, is_linked=True, free_bytes=44_024_389)]).endswith(" 42 MiB")


def test_what_a_node_said_before_its_link_was_lost_is_not_shown() -> None:
    assert format_nodes([row(2, is_linked=False, free_bytes=44_024_389)]).endswith(" -")


def test_a_node_that_has_said_nothing_yet_shows_nothing() -> None:
    assert format_nodes([row(2, is_linked=True, free_bytes=None)]).endswith(" -")


def test_a_log_that_nobody_reads_is_shown() -> None:
    assert format_log({"dropped_lines_total": 0}) == []
    [line] = format_log({"dropped_lines_total": 12})
    assert line == "log       12 lines dropped: nobody reads standard error"
