"""What `ramsterctl top --cluster` asks of whom, and what it knows by then.  Pure.

A refresh costs one question for each linked member, for the part of its picture that is its own,
and one more for each that has new events.  A member without a link is not asked: the node at hand
says why.  One that does not answer in time is left alone for a while, for the screen waits for it.
"""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ramsterd.cli.ask import Request
from ramsterd.cli.format_events import seconds_of
from ramsterd.cli.gather import UNKNOWN_SHAPE, Told
from ramsterd.cli.top_cluster_screen import ClusterView, Heard, Member, Silent, screen
from ramsterd.cli.top_parts import Picture, event_line, picture_of

UNKNOWN_SHAPE_TEXT: Final = "this program can't show what it says: compare `ramsterctl version`, or type `ramsterctl top` there"

# How long a member is not asked again.
REST_SECONDS: Final = 15.0
# Of one member, and of all: more than a screen has lines for.
EVENTS_OF_ONE_MAX: Final = 20
EVENTS_MAX: Final = 50
EVENTS_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Known:
    """What is known of one member."""

    now: Picture | None = None
    before: Picture | None = None
    problem: str = ""
    # Until then it is not asked.
    rests_until: float = 0.0
    # The number of the last event that was read, and in which run of its daemon.
    after: int = 0
    run: str = ""
    events: deque[dict[str, Any]] = field(
        default_factory=lambda: deque[dict[str, Any]](maxlen=EVENTS_OF_ONE_MAX)
    )


class TopMembers:
    """See the module's text; `now` is monotonic seconds, `at` seconds since 1970."""

    def __init__(self, first: Picture) -> None:
        self._known: dict[str, _Known] = {}
        self._at_hand = first
        # Others are asked at the first refresh.
        self.on_at_hand(first, 0.0)

    def __len__(self) -> int:
        return len(self._known)

    def on_at_hand(self, picture: Picture, now: float) -> dict[str, Request]:
        """The node at hand shows itself and all members; return what to ask of others."""
        self._at_hand = picture
        members = {node["name"]: node for node in picture["nodes"]}
        self._known = {name: self._known.get(name) or _Known() for name in members}
        self._on_picture(picture["node"], picture_of(picture))
        for name, node in members.items():
            if not (node["is_local"] or node["is_linked"]):
                reason = f": {node['reason']}" if node["reason"] else ""
                self._on_silence(name, f"{node['state']}{reason}", rests_until=0.0)
        return {
            name: {"command": "overview", "of_itself": True}
            for name, node in members.items()
            if node["is_linked"] and not node["is_local"] and self._known[name].rests_until <= now
        }

    def on_told(self, told: Iterable[Told], now: float) -> None:
        """Members have shown themselves, or have not."""
        for each in told:
            picture = None if each.problem else _shown_picture(each.node, each.result)
            if picture is None:
                problem = each.problem or UNKNOWN_SHAPE_TEXT
                self._on_silence(each.node, problem, rests_until=now + REST_SECONDS)
            else:
                self._on_picture(each.node, picture)

    def wanted_events(self, at: float) -> dict[str, Request]:
        """Return what to ask of members that have new events, or do not tell: the newest few."""
        return {
            name: {
                "command": "events",
                "after": _position(known.after, known.now["events_total"]),
                "since": at - EVENTS_SECONDS,
            }
            for name, known in self._known.items()
            if known.now is not None and known.now["events_total"] != known.after
        }

    def on_events(self, told: Iterable[Told]) -> None:
        """Members have told their events, or have not: then they are asked again the next time."""
        for each in told:
            if not each.problem:
                with suppress(*UNKNOWN_SHAPE):
                    _read(self._known[each.node], each.result)

    def view(self, **more: Any) -> ClusterView:
        """Return what there is to show."""
        return ClusterView(
            cluster=self._at_hand["cluster"],
            through=self._at_hand["node"],
            at=self._at_hand["at"],
            members=self.members(),
            events=self._newest(),
            **more,
        )

    def members(self) -> list[Member]:
        """Return each member as it is known."""
        return [
            Silent(name, known.problem or "not asked yet")
            if known.now is None
            else Heard(name, known.now, known.before)
            for name, known in self._known.items()
        ]

    def silent(self) -> list[Told]:
        """Return those that have not answered."""
        return [
            Told(each.name, problem=each.problem)
            for each in self.members()
            if isinstance(each, Silent)
        ]

    def _on_picture(self, name: str, picture: Picture) -> None:
        known = self._known[name]
        known.before, known.now, known.problem = known.now, picture, ""

    def _on_silence(self, name: str, problem: str, *, rests_until: float) -> None:
        known = self._known[name]
        known.now = known.before = None
        known.problem, known.rests_until = problem, rests_until

    def _newest(self) -> list[tuple[str, dict[str, Any]]]:
        found = [(name, event) for name, known in self._known.items() for event in known.events]
        found.sort(key=lambda each: seconds_of(each[1]))
        return found[-EVENTS_MAX:]


def _shown_picture(name: str, told: Any) -> Picture | None:
    """Return what a node shows of itself; None: it is no picture that this program knows."""
    try:
        picture = picture_of(told)
        screen(ClusterView("", "", 0.0, [Heard(name, picture, picture)]))
    except UNKNOWN_SHAPE:
        return None
    return picture if isinstance(picture["events_total"], int | None) else None


def _position(after: int, last: int | None) -> int:
    """Return after which event to read: only the newest few, and all of them if numbers have begun anew.

    A daemon that does not tell its last number is read on from where the last answer ended.
    """
    if last is None:
        return after
    return max(0, last - EVENTS_OF_ONE_MAX, after if after <= last else 0)


def _read(known: _Known, answer: Any) -> None:
    """Take an answer to `events`, whole or not at all."""
    run, after, events = str(answer["run"]), int(answer["after"]), list(answer["events"])
    for event in events:
        seconds_of(event)
        event_line(event)
    if known.run not in {"", run}:
        # It has started anew: what was asked for was a position in its last run.
        known.run, known.after = run, 0
        return
    known.run, known.after = run, after
    known.events += events
