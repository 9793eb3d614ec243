"""Events of many members come in the order of their times, whatever the pages they come in."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, strategies as st

from ramsterd.cli.event_merge import PAGES_MAX, EventMerge
from ramsterd.cli.gather import UNKNOWN_SHAPE_TEXT


def event(number: int, seconds: float) -> dict[str, Any]:
    return {"number": number, "time": datetime.fromtimestamp(seconds, UTC).isoformat()}


def line_of(node: str, event: dict[str, Any]) -> str:
    return f"{node}{event['number']}"


class Ring:
    """The events of a member, and its answers: pages of so many."""

    def __init__(self, *seconds: float, run: str = "one", page: int = 2) -> None:
        self.events = [event(number, at) for number, at in enumerate(seconds, 1)]
        self.run, self.page, self.first = run, page, 1

    def answer(self, after: int) -> dict[str, Any]:
        left = [each for each in self.events if each["number"] > after]
        found = left[: self.page]
        last = self.events[-1]["number"] if self.events else 0
        return {
            "run": self.run, "first": self.first, "last": last, "events": found,
            "after": found[-1]["number"] if len(found) < len(left) else last,
        }  # fmt: skip


def read(merge: EventMerge, rings: dict[str, Ring]) -> list[str]:
    lines: list[str] = []
    merge.begin_round(rings)
    while wanted := merge.wanted():
        for name, after in wanted.items():
            merge.on_answer(name, rings[name].answer(after))
        if not merge.wanted():
            lines += merge.lines()
    return lines


def new_merge() -> tuple[EventMerge, list[str]]:
    told: list[str] = []
    return EventMerge(line_of, told.append), told


def test_events_come_by_their_times_with_the_member_that_has_them() -> None:
    merge, told = new_merge()
    rings = {"a": Ring(1, 4, 5), "b": Ring(2, 3, 6), "c": Ring()}
    assert read(merge, rings) == ["a1", "b1", "b2", "a2", "a3", "b3"]
    assert (merge.silent(), told) == ({}, [])


def test_only_those_are_asked_whose_next_event_is_not_known() -> None:
    merge, _ = new_merge()
    merge.begin_round("ab")
    a, b = Ring(1, 2, 7), Ring(5, 6, 8)
    merge.on_answer("a", a.answer(0))
    merge.on_answer("b", b.answer(0))
    assert list(merge.lines()) == ["a1", "a2"]
    assert merge.wanted() == {"a": 2}


def test_a_member_that_fails_in_the_middle_keeps_what_it_has_told() -> None:
    merge, told = new_merge()
    merge.begin_round("ab")
    merge.on_answer("a", Ring(1, 2, 9).answer(0))
    merge.on_answer("b", Ring(3).answer(0))
    assert list(merge.lines()) == ["a1", "a2"]
    merge.on_no_answer("a", "the link was lost")
    assert list(merge.lines()) == ["b1"]
    assert merge.silent() == {"a": "the link was lost"}
    merge.tell_silent()
    assert told == ["a: the link was lost; waiting for it"]


def test_the_next_round_goes_on_where_each_has_stopped_and_says_what_is_lost() -> None:
    merge, told = new_merge()
    rings = {"a": Ring(1, 2), "b": Ring(1)}
    assert read(merge, rings) == ["a1", "b1", "a2"]
    rings["a"] = Ring(1, 2, 3, 4, 5, 6)
    rings["a"].first, rings["a"].events = 5, rings["a"].events[4:]
    rings["b"] = Ring(7, run="two")
    rings["new"] = Ring(0)
    assert read(merge, rings) == ["new1", "a5", "a6", "b1"]
    assert sorted(told) == [
        "a: 2 events were pushed out before they were read",
        "b: ramsterd has restarted: events that were not shown before are gone",
    ]
    del rings["a"]
    assert read(merge, rings) == []


def test_a_member_that_has_ever_more_is_not_read_for_ever() -> None:
    merge, _ = new_merge()
    merge.begin_round("a")
    asked = 0
    while merge.wanted():
        asked += 1
        answer = {"run": "one", "first": 1, "last": asked + 1, "after": asked, "events": []}
        merge.on_answer("a", answer)
    assert asked == PAGES_MAX
    assert merge.silent()["a"].startswith("more than 4,096 events came, and the newest are not")


def test_one_that_restarts_at_each_question_is_not_asked_for_ever() -> None:
    merge, _ = new_merge()
    merge.begin_round("a")
    for number in range(PAGES_MAX):
        assert merge.wanted()
        merge.on_answer("a", Ring(1, 2, 3, run=f"run {number}", page=1).answer(0))
        list(merge.lines()) if not merge.wanted() else None
    assert merge.wanted() == {}


def test_what_is_no_answer_is_a_silence() -> None:
    good = Ring(1).answer(0)
    for bad in (
        7, None, {}, {**good, "events": [7]}, {**good, "events": [{"time": "soon"}]},
        {**good, "after": "1"}, {**good, "run": []}, {**good, "events": None},
    ):  # fmt: skip
        merge, told = new_merge()
        merge.begin_round("ab")
        merge.on_answer("a", bad)
        merge.on_answer("b", good)
        assert list(merge.lines()) == ["b1"]
        assert merge.silent() == {"a": UNKNOWN_SHAPE_TEXT}
        assert told == []


@given(
    rings=st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.integers(0, 50), max_size=12).map(sorted)
    ),
    page=st.integers(1, 4),
)
def test_the_merge_is_the_sorted_list_of_all(rings: dict[str, list[int]], page: int) -> None:
    merge, told = new_merge()
    shown = read(merge, {name: Ring(*seconds, page=page) for name, seconds in rings.items()})
    expected = sorted(
        (at, name, number) for name, seconds in rings.items() for number, at in enumerate(seconds)
    )
    assert shown == [f"{name}{number + 1}" for _, name, number in expected]
    assert told == []
