"""`ramsterctl top --cluster`: what a refresh asks of whom, and what it knows by then."""

from typing import Any

import pytest

from ramsterd.cli.gather import Told
from ramsterd.cli.top_cluster_screen import Heard, Silent, screen
from ramsterd.cli.top_members import (
    EVENTS_OF_ONE_MAX,
    EVENTS_SECONDS,
    REST_SECONDS,
    UNKNOWN_SHAPE_TEXT,
    TopMembers,
)
from ramsterd.cli.top_parts import UNTOLD
from tests.helpers.pictures import event, node, picture

HERE = node("alpha", is_local=True, is_linked=False)


def at_hand(*others: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return picture(node="alpha", cluster="lab", nodes=[HERE, *others], events_total=0, **changes)


def of(name: str, **changes: Any) -> Told:
    return Told(name, picture(node=name, nodes=[], events_total=0, **changes))


def older(shown: dict[str, Any]) -> dict[str, Any]:
    """Return a picture as a daemon of an older version shows it."""
    return {name: value for name, value in shown.items() if name not in UNTOLD}


def told(name: str, *texts: str, after: int, run: str = "one") -> Told:
    return Told(name, {"run": run, "after": after, "events": [event(text) for text in texts]})


def test_only_linked_members_are_asked_and_only_for_what_is_their_own() -> None:
    first = at_hand(node("beta"), node("gamma", is_linked=False, state="down", reason="no answer"))
    members = TopMembers(first)
    asked = members.on_at_hand(first, 1.0)
    assert asked == {"beta": {"command": "overview", "of_itself": True}}
    members.on_told([of("beta")], 1.0)
    alpha, beta, gamma = members.members()
    assert isinstance(alpha, Heard)
    assert isinstance(beta, Heard)
    assert gamma == Silent("gamma", "down: no answer")
    assert members.silent() == [Told("gamma", problem="down: no answer")]
    assert (members.view().cluster, members.view().through) == ("lab", "alpha")


def test_a_member_has_two_pictures_after_two_refreshes_and_none_when_it_is_silent() -> None:
    members = TopMembers(at_hand(node("beta")))
    members.on_told([of("beta", at=1.0)], 0.0)
    members.on_told([of("beta", at=2.0)], 0.0)
    beta = members.members()[1]
    assert isinstance(beta, Heard)
    assert beta.before is not None
    assert (beta.before["at"], beta.now["at"]) == (1.0, 2.0)
    members.on_told([Told("beta", problem="no answer within 5 s")], 0.0)
    assert members.members()[1] == Silent("beta", "no answer within 5 s")
    members.on_told([of("beta", at=9.0)], 0.0)
    beta = members.members()[1]
    assert isinstance(beta, Heard)
    assert beta.before is None


def test_a_member_that_does_not_answer_is_left_alone_for_a_while() -> None:
    seen = at_hand(node("beta"), node("gamma"))
    members = TopMembers(seen)
    members.on_told([Told("beta", problem="no answer"), of("gamma")], 10.0)
    assert set(members.on_at_hand(seen, 10.0 + REST_SECONDS - 1)) == {"gamma"}
    assert members.members()[1] == Silent("beta", "no answer")
    assert set(members.on_at_hand(seen, 10.0 + REST_SECONDS)) == {"beta", "gamma"}


def test_one_that_left_is_forgotten_and_one_that_joins_is_asked() -> None:
    members = TopMembers(at_hand(node("beta")))
    assert set(members.on_at_hand(at_hand(node("gamma")), 1.0)) == {"gamma"}
    assert [each.name for each in members.members()] == ["alpha", "gamma"]
    assert len(members) == 2


@pytest.mark.parametrize("bad", [7, None, {}, {"totals": {}}, picture(events_total="1")])
def test_what_is_no_picture_is_a_silence(bad: Any) -> None:
    members = TopMembers(at_hand(node("beta")))
    members.on_told([Told("beta", bad)], 0.0)
    assert members.members()[1] == Silent("beta", UNKNOWN_SHAPE_TEXT)


def test_a_member_that_can_not_be_shown_comes_with_a_hint_that_top_knows() -> None:
    assert "-o json" not in UNKNOWN_SHAPE_TEXT
    assert "`ramsterctl top` there" in UNKNOWN_SHAPE_TEXT


def test_daemons_of_an_older_version_are_shown_at_hand_and_at_a_peer() -> None:
    seen = older(at_hand(node("beta")))
    members = TopMembers(seen)
    members.on_at_hand(seen, 1.0)
    members.on_told([Told("beta", older(of("beta").result))], 1.0)
    assert members.silent() == []
    shown = [line.plain for line in screen(members.view())]
    assert shown[1].split(";")[0].split(maxsplit=1)[1] == "2 ok"
    assert [line.split()[:2] for line in shown[-3:-1]] == [["alpha", "ok"], ["beta", "ok"]]


def test_events_of_a_daemon_that_does_not_tell_their_number_are_read_on() -> None:
    members = TopMembers(older(at_hand(node("beta"))))
    members.on_told([Told("beta", older(of("beta").result))], 0.0)
    assert {name: asked["after"] for name, asked in members.wanted_events(0.0).items()} == {
        "alpha": 0,
        "beta": 0,
    }
    members.on_events([told("beta", "one", "two", after=2)])
    assert members.wanted_events(0.0)["beta"]["after"] == 2
    members.on_events([told("beta", after=2)])
    assert [each["text"] for _, each in members.view().events] == ["one", "two"]


def test_events_are_asked_for_only_where_there_are_new_ones() -> None:
    members = TopMembers(at_hand(node("beta")))
    members.on_told([Told("beta", picture(events_total=100))], 0.0)
    since = 7200.0 - EVENTS_SECONDS
    first = {"command": "events", "after": 100 - EVENTS_OF_ONE_MAX, "since": since}
    assert members.wanted_events(7200.0) == {"beta": first}
    members.on_events([Told("beta", problem="no answer")])
    assert members.wanted_events(7200.0) == {"beta": first}
    members.on_events([told("beta", "one", after=101)])
    # The picture is older than the events.
    members.on_told([Told("beta", picture(events_total=101))], 0.0)
    assert members.wanted_events(7200.0) == {}
    members.on_told([Told("beta", picture(events_total=103))], 0.0)
    assert members.wanted_events(7200.0)["beta"]["after"] == 101
    assert [each["text"] for _, each in members.view().events] == ["one"]


def test_after_a_restart_events_are_read_from_the_begin_of_the_new_run() -> None:
    members = TopMembers(at_hand(node("beta")))
    members.on_told([Told("beta", picture(events_total=50))], 0.0)
    members.on_events([told("beta", "old", after=50)])
    members.on_told([Told("beta", picture(events_total=3))], 0.0)
    assert members.wanted_events(0.0)["beta"]["after"] == 0
    members.on_events([told("beta", "new", after=3, run="two")])
    # That may have been a position of the last run: it is asked once more.
    assert members.wanted_events(0.0)["beta"]["after"] == 0
    members.on_events([told("beta", "new", after=3, run="two")])
    assert members.wanted_events(0.0) == {}
    assert [each["text"] for _, each in members.view().events] == ["old", "new"]


def test_events_of_all_are_one_list_by_time_of_the_newest() -> None:
    members = TopMembers(at_hand(node("beta"), node("gamma")))
    members.on_told([of("beta"), of("gamma")], 0.0)
    for name, second in (("beta", 5), ("gamma", 3)):
        answer = {"run": "one", "after": 1, "events": [event(name, second)] * 40}
        members.on_events([Told(name, answer)])
    shown = [name for name, _ in members.view().events]
    assert shown == ["gamma"] * EVENTS_OF_ONE_MAX + ["beta"] * EVENTS_OF_ONE_MAX


def test_what_are_no_events_changes_nothing() -> None:
    members = TopMembers(at_hand(node("beta")))
    members.on_told([Told("beta", picture(events_total=2))], 0.0)
    for bad in (
        7,
        {},
        {"run": "a", "after": 1, "events": [7]},
        {"run": "a", "after": 1, "events": 7},
    ):
        members.on_events([Told("beta", bad)])
        assert members.wanted_events(0.0)
        assert members.view().events == []
