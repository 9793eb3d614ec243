"""What the tables of `ramsterctl nodes` and `pools` show."""

from typing import Any

import click
import pytest

from ramsterd.cli.tables import format_nodes, format_pools


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


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "no route to host"),
        ({"link": "refused_here"}, "this node refuses it: no route to host"),
        ({"link": "refused_there"}, "it refuses this node: no route to host"),
        ({"link_reason": ""}, "silent"),
        ({"state": "left", "reason": "stopped in order"}, "stopped in order"),
        (
            {"state": "joining", "reason": "", "link": "untried", "link_reason": ""},
            "never seen: start ramsterd there",
        ),
    ],
)
def test_a_node_without_a_link_has_a_reason(changes: dict[str, str], why: str) -> None:
    text = format_nodes([row(2, is_linked=False, free_bytes=None) | changes])
    assert text.splitlines()[0].endswith(" WHY NO LINK")
    assert text.endswith(f" -  {why}")


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
    shown["trust"] = trust(missing=1040)
    assert format_nodes([shown]).endswith(" 1,043              42 MiB")


def test_this_node_is_named_as_such_where_others_have_a_link() -> None:
    [_, line] = format_nodes(
        [row(1, is_linked=False, free_bytes=None) | {"is_local": True}]
    ).splitlines()
    assert " this node " in line
    assert line.endswith(" -")


def test_large_numbers_have_commas() -> None:
    pool = {
        "user": 1000, "name": "spill", "kind": "persistent", "codec": "lz4",
        "pages": 1_234_567, "objects": 12_345, "connections": 2,
    }  # fmt: skip
    [_, line] = format_pools([pool]).splitlines()
    assert line.split()[-3:] == ["1,234,567", "12,345", "2"]


def test_a_wide_table_of_nodes_says_more_of_each() -> None:
    shown = row(2, is_linked=True, free_bytes=44_024_389) | {"incarnation": 1_790_000_000_000}
    shown["config"] |= {"zone": "rack2"}
    shown["status"] |= {"budget_bytes": 1 << 30, "pages_held_for_us": 4192}
    head, line = click.unstyle(format_nodes([shown], is_wide=True)).splitlines()
    assert head.endswith(
        "ROOM FOR OUR PAGES  BUDGET  KEEPS FOR US  ZONE   INCARNATION    WHY NO LINK"
    )
    assert line.endswith("            42 MiB   1 GiB         4,192  rack2  1790000000000")


def test_a_wide_table_has_the_budget_of_this_node_too() -> None:
    own = row(1, is_linked=False, free_bytes=None)
    own |= {"is_local": True, "incarnation": None, "budget_bytes": 1 << 30}
    own["config"] |= {"zone": ""}
    [_, line] = click.unstyle(format_nodes([own], is_wide=True)).splitlines()
    assert line.split()[-5:] == ["1", "GiB", "-", "-", "-"]
