"""The screen of `ramsterctl top`: what it says, and that it fits."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from ramsterd.cli.top_parts import UNTOLD, picture_of
from ramsterd.cli.top_screen import Order, View, screen
from tests.helpers.pictures import code, event, job, node, picture


def lines(**shown: Any) -> list[str]:
    view = View(**{"before": None, "now": picture()} | shown)
    return [line.plain.rstrip() for line in screen(view)]


def names(order: Order, *nodes: dict[str, Any]) -> list[str]:
    shown = lines(now=picture(nodes=list(nodes)), order=order)
    first = next(place for place, line in enumerate(shown) if line.startswith("NODE"))
    return [line.split()[0] for line in shown[first + 1 :][: len(nodes)]]


def test_a_rate_is_between_two_pictures_and_none_after_a_restart_of_the_daemon() -> None:
    before, now = picture(at=100.0), picture(at=102.0)
    now["totals"] |= {"put_pages": before["totals"]["put_pages"] + 3000, "evicted_pages": 0}
    shown = "\n".join(lines(before=before, now=now))
    assert "write/s 1,500 here   0 to peers   - evicted" in shown
    assert "write/s - here" in "\n".join(lines(now=now))


def test_waits_are_between_two_pictures_and_an_older_daemon_tells_none() -> None:
    before, now = picture(at=100.0), picture(at=102.0)
    counts = now["latency"]["read_local"]["counts"]
    counts[2] += 98
    counts[5] += 2
    shown = lines(before=before, now=now)
    assert "p50/p99 read 50 us / 500 us here   - / - with peers" in shown
    assert "        write - / - here   - / - with peers" in shown
    older = {name: value for name, value in before.items() if name not in UNTOLD}
    for pair in ((older, now), (before, older), (older, older)):
        first, second = map(picture_of, pair)
        assert "p50/p99 read - / - here   - / - with peers" in lines(before=first, now=second)


def test_what_is_wrong_stands_above_all_with_what_to_type() -> None:
    health = picture()["health"] | {"severity": "warn", "codes": [code("A"), code("B"), code("C")]}
    shown = lines(now=picture(health=health))
    assert shown[1].startswith("WARN")
    assert shown[2:4] == ["  A: something is wrong", "    type: ramsterctl repair A"]
    assert "  … 1 more: ramsterctl health" in shown


def test_members_that_get_no_new_pages_are_noted_below_what_is_wrong() -> None:
    notes = [f"n{number} is cordoned" for number in range(4)]
    health = picture()["health"] | {"codes": [code("A")], "notes": notes}
    shown = lines(now=picture(health=health))
    assert shown[2:7] == [
        "  A: something is wrong",
        "    type: ramsterctl repair A",
        "  n0 is cordoned",
        "  n1 is cordoned",
        "  … 2 more: ramsterctl health",
    ]
    quiet = picture()["health"] | {"notes": ["n0 is\x1b[2J cordoned"]}
    assert "  n0 is\N{REPLACEMENT CHARACTER}[2J cordoned" in lines(now=picture(health=quiet))
    del quiet["notes"]
    assert lines(now=picture(health=quiet)), "one of an earlier version"


def test_nodes_come_in_the_order_that_was_asked_for() -> None:
    nodes = (
        node("beta", free_bytes=5, pages_there=1),
        node("alpha", is_local=True, is_linked=False, free_bytes=9, pages_here=4),
        node("gamma", state="down", is_linked=False, budget_bytes=None, free_bytes=None, pages_there=7),
        node("delta", is_linked=False),
    )  # fmt: skip
    assert names(Order.NAME, *nodes) == ["alpha", "beta", "delta", "gamma"]
    assert names(Order.STATE, *nodes) == ["delta", "gamma", "alpha", "beta"]
    assert names(Order.FREE, *nodes) == ["beta", "alpha", "delta", "gamma"]
    assert names(Order.THERE, *nodes) == ["gamma", "beta", "alpha", "delta"]
    assert names(Order.HERE, *nodes) == ["alpha", "beta", "delta", "gamma"]
    assert "no link" in "".join(lines(now=picture(nodes=list(nodes))))


def test_jobs_that_go_on_are_shown_and_those_that_ended_are_events() -> None:
    ended = job(1, state="done", ended_seconds=3.0, outcome="done, 40 pages moved in 2 s")
    shown = "\n".join(lines(now=picture(jobs=[*map(job, range(2, 7)), ended])))
    assert "job     drain-2 of node n2: 10 of 40 pages, 5 a second, about 6s left" in shown
    assert "drain-5" not in shown
    assert "  … 2 more: ramsterctl jobs" in shown
    assert "drain-1" not in shown


def test_a_daemon_that_does_not_answer_any_more_makes_the_picture_old() -> None:
    assert lines(problem="no daemon answers")[0] == "OLD, of 00:01:40 UTC: no daemon answers"


def test_nothing_that_others_say_moves_the_cursor() -> None:
    shown = lines(events=[event("gone\x1b[2J\r")])
    assert shown[-2].endswith("gone\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}")


def test_many_nodes_leave_room_for_the_last_events() -> None:
    nodes = [node(f"n{number:02}") for number in range(64)]
    events = [event(f"event {number}") for number in range(9)]
    shown = lines(now=picture(nodes=nodes), events=events)
    assert len(shown) == 24
    assert any(line.startswith("… ") and line.endswith(" more nodes") for line in shown)
    assert shown[-2].endswith("event 8")


@given(
    width=st.integers(20, 200),
    height=st.integers(3, 60),
    nodes=st.integers(0, 80),
    codes=st.integers(0, 5),
    jobs=st.integers(0, 6),
    events=st.integers(0, 60),
    text=st.text(max_size=300),
)
def test_no_screen_is_larger_than_the_terminal(
    width: int, height: int, nodes: int, codes: int, jobs: int, events: int, text: str
) -> None:
    health = picture()["health"] | {
        "codes": [code(f"C{each}", text) for each in range(codes)],
        "notes": [f"{each} {text}" for each in range(codes)],
    }
    work = [job(each, waits_for=text) for each in range(jobs)]
    now = picture(health=health, nodes=[node(f"n{each}") for each in range(nodes)], jobs=work)
    view = View(before=None, now=now, events=[event(text)] * events, width=width, height=height)
    shown = screen(view)
    assert len(shown) <= height
    assert all(line.cell_len <= width for line in shown)
    assert all("\n" not in line.plain for line in shown)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_is_as_wide_as_the_line(width: int) -> None:
    [bar] = [line for line in lines(width=width) if line.startswith("memory")]
    assert bar.index("]") - bar.index("[") + len(bar.partition("]")[2]) <= width
