"""Where the screens of `ramsterctl top` come from: one daemon, or all members through it, asked again and again."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from rich.text import Text

from ramsterd.cli import top_cluster_screen, top_screen
from ramsterd.cli.ask import AskFailed, Request, ask_each, try_ask
from ramsterd.cli.event_reader import EventReader
from ramsterd.cli.gather import AGAIN_AT_ONCE, Told, ask_nodes, round_seconds
from ramsterd.cli.target import Target
from ramsterd.cli.top_members import TopMembers
from ramsterd.cli.top_parts import Picture, picture_of

REFRESH_SECONDS: Final = 2.0
# More than a screen has lines for.
EVENTS_MAX: Final = 50
EVENTS_SECONDS: Final = 3600.0
# As long as the node at hand waits for one member: so long at most, a key has no effect.
MEMBERS_SECONDS_MAX: Final = 5.0


class Source(Protocol):
    """What a screen shows, and how it is refreshed."""

    # What may be pressed.
    keys: str

    @property
    def refresh_seconds(self) -> float:
        """How long a screen stays."""
        ...

    def look(self) -> None:
        """Ask for what is new; without an answer the last screen stays, and says so."""
        ...

    def press(self, key: str) -> None:
        """Change the order; an unknown key changes nothing."""
        ...

    def lines(self, width: int | None, height: int, *, keys: str) -> list[Text]:
        """Return the lines of the screen, cut to a width if there is one."""
        ...


class NodeSource:
    """The two last pictures of a daemon, and its last events."""

    keys = top_screen.KEYS
    refresh_seconds = REFRESH_SECONDS

    def __init__(self, target: Target, first: Picture) -> None:
        self._target = target
        self._before: Picture | None = None
        self._now = picture_of(first)
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        # What came between, the screen has no line for.
        self._reader = EventReader(lambda _: None)
        self._since = _wall_clock() - EVENTS_SECONDS
        self._problem = ""
        self._order = top_screen.Order.NAME

    def look(self) -> None:
        """Ask for the next picture."""
        try:
            now = picture_of(try_ask(self._target, "overview"))
            self._read_events()
        except AskFailed as failed:
            self._problem = str(failed)
        else:
            self._before, self._now, self._problem = self._now, now, ""

    def _read_events(self) -> None:
        reader = self._reader
        reader.has_more = True
        while reader.has_more:
            answer = try_ask(self._target, "events", after=reader.after, since=self._since)
            self._events += reader.on_answer(answer)

    def press(self, key: str) -> None:
        """Sort the nodes."""
        if key in {each.value for each in top_screen.Order}:
            self._order = top_screen.Order(key)

    def lines(self, width: int | None, height: int, *, keys: str) -> list[Text]:
        """Return the lines of the screen, cut to a width if there is one."""
        view = top_screen.View(
            before=self._before,
            now=self._now,
            events=tuple(self._events),
            order=self._order,
            width=width,
            height=height,
            problem=self._problem,
            keys=keys,
        )
        return top_screen.screen(view)


class ClusterSource:
    """All members, each with its two last pictures and its last events."""

    keys = top_cluster_screen.KEYS

    def __init__(self, target: Target, first: Picture) -> None:
        self._at_hand = replace(target, is_cluster=False)
        self._members = TopMembers(first)
        self._problem = ""
        self._order = top_cluster_screen.Order.HEALTH

    @property
    def refresh_seconds(self) -> float:
        """How long a screen stays: the longer, the more members are asked for it."""
        return round_seconds(REFRESH_SECONDS, len(self._members))

    def look(self) -> None:
        """Ask the node at hand, then those that it has links to, then those that have new events."""
        try:
            picture = try_ask(self._at_hand, "overview")
        except AskFailed as failed:
            self._problem = str(failed)
            return
        self._problem = ""
        members, began_at = self._members, time.perf_counter()
        members.on_told(self._ask(members.on_at_hand(picture, began_at)), time.perf_counter())
        members.on_events(self._ask(members.wanted_events(_wall_clock())))

    def _ask(self, requests: Mapping[str, Request]) -> list[Told]:
        return ask_nodes(
            ask_each,
            self._at_hand,
            requests,
            at_once=AGAIN_AT_ONCE,
            seconds_max=MEMBERS_SECONDS_MAX,
        )

    def press(self, key: str) -> None:
        """Sort the members."""
        if key in {each.value for each in top_cluster_screen.Order}:
            self._order = top_cluster_screen.Order(key)

    def lines(self, width: int | None, height: int, *, keys: str) -> list[Text]:
        """Return the lines of the screen, cut to a width if there is one."""
        view = self._members.view(
            order=self._order, width=width, height=height, problem=self._problem, keys=keys
        )
        return top_cluster_screen.screen(view)

    def silent(self) -> list[Told]:
        """Return the members that say nothing."""
        return self._members.silent()


def _wall_clock() -> float:
    return time.time_ns() / 1e9
