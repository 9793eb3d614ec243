"""The events of many members in the order of their times, read a page of each at a time.  Pure.

A line comes out when no member can have an earlier one: each that has more to read has a page
waiting here.  So the rings of all members are never here at once.  A member's own events keep the
order in which it noted them, also where its clock was set back.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ramsterd.cli.event_reader import EventReader
from ramsterd.cli.format_events import seconds_of
from ramsterd.cli.gather import UNKNOWN_SHAPE, UNKNOWN_SHAPE_TEXT
from ramsterd.host.events.ring import EVENTS_MAX, PAGE_EVENTS_MAX

# Of one member in one round: what its ring holds, and as much again that happened meanwhile.
PAGES_MAX: Final = 2 * EVENTS_MAX // PAGE_EVENTS_MAX


@dataclass(slots=True)
class _Member:
    reader: EventReader
    # When each happened, and its line.
    waiting: deque[tuple[float, str]] = field(default_factory=deque)
    # How many more may be asked for in this round.
    pages_left: int = 0
    # Why it says nothing in this round.
    problem: str = ""

    @property
    def has_more(self) -> bool:
        """Whether it has to be asked before another line of it is known."""
        return self.reader.has_more and self.pages_left > 0 and not self.problem


class EventMerge:
    """See the module's text; `tell` gets what is no event, as a sentence."""

    def __init__(
        self, line_of: Callable[[str, dict[str, Any]], str], tell: Callable[[str], None]
    ) -> None:
        self._line_of = line_of
        self._tell = tell
        self._members: dict[str, _Member] = {}

    def begin_round(self, names: Iterable[str]) -> None:
        """These are the members now, and each of them may have more."""
        before = self._members
        self._members = {name: before.get(name) or self._new(name) for name in names}
        for member in self._members.values():
            member.reader.has_more = True
            member.pages_left, member.problem = PAGES_MAX, ""

    def wanted(self) -> dict[str, int]:
        """Return the position of each member that has to be asked next; nobody: there may be lines."""
        return {
            name: member.reader.after
            for name, member in self._members.items()
            if member.has_more and not member.waiting
        }

    def on_answer(self, name: str, answer: Any) -> None:
        """A member has answered `events`."""
        member = self._members[name]
        member.pages_left -= 1
        try:
            lines = self._lines_of(name, answer)
        except UNKNOWN_SHAPE:
            self.on_no_answer(name, UNKNOWN_SHAPE_TEXT)
            return
        # After a restart of that node it has taken none.
        if member.reader.on_answer(answer):
            member.waiting += lines

    def on_no_answer(self, name: str, problem: str) -> None:
        """A member says nothing in this round, and why."""
        self._members[name].problem = problem

    def lines(self) -> Iterator[str]:
        """Yield the lines that nothing can come before, until somebody is wanted again."""
        assert not self.wanted()
        heads = [
            (member.waiting[0][0], name) for name, member in self._members.items() if member.waiting
        ]
        heapq.heapify(heads)
        while heads:
            _, name = heapq.heappop(heads)
            member = self._members[name]
            yield member.waiting.popleft()[1]
            if member.waiting:
                heapq.heappush(heads, (member.waiting[0][0], name))
            elif member.has_more:
                return

    def silent(self) -> dict[str, str]:
        """Return why, for each member whose events are not all here."""
        return {name: why for name, member in self._members.items() if (why := _why(name, member))}

    def tell_silent(self) -> None:
        """Say who does not answer; the next round asks again."""
        for member in self._members.values():
            if member.problem:
                member.reader.on_no_answer(member.problem)

    def _lines_of(self, name: str, answer: Any) -> list[tuple[float, str]]:
        """Return its events, if it is an answer at all: it comes from another node."""
        for key in ("first", "last", "after"):
            if not isinstance(answer[key], int):
                raise TypeError(key)
        hash(answer["run"])
        return [(seconds_of(event), self._line_of(name, event)) for event in answer["events"]]

    def _new(self, name: str) -> _Member:
        return _Member(EventReader(partial(self._tell_of, name)))

    def _tell_of(self, name: str, text: str) -> None:
        self._tell(f"{name}: {text}")


def _why(name: str, member: _Member) -> str:
    if member.reader.has_more and not (member.pages_left or member.problem):
        return (
            f"more than {PAGES_MAX * PAGE_EVENTS_MAX:,} events came, and the newest are not here:"
            f" type `ramsterctl events --node {name}`"
        )
    return member.problem
