"""One page that several clients use: what may stand there now (docs/design/0012-order-of-operations.md).

Operations have a number, the order in which they came.  One that is open may take effect at any moment; then those
that came before it take none any more.  So what is possible is a value and the number of the last operation that took
effect, and each event leaves only what fits it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

# The numbers of the writes from which each sector of a page comes, 0 for zeros; or one of these.
Value: TypeAlias = tuple[int, ...]
HOLE: Final[Value] = (-1,)
LOST: Final[Value] = (-2,)
SECTORS: Final = 8
ZEROS: Final[Value] = (0,) * SECTORS
Change: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class State:
    """What may be: the value, the last operation that took effect, and the takes that have begun before it did."""

    value: Value
    last: int = 0
    overtaken: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Write:
    """An open operation; a patch changes what stands there, and takes its turn behind the writes before it."""

    change: Change
    is_patch: bool


class PageModel:
    """All that may stand in one page."""

    def __init__(self, value: Value) -> None:
        self._states = {State(value)}
        self._writes: dict[int, Write] = {}
        self._takes: dict[int, None] = {}
        # What each get that waits may see.
        self._reads: dict[int, set[Value]] = {}
        # Of an ephemeral pool: at any time it may be a hole.
        self.may_vanish = False

    @property
    def values(self) -> set[Value]:
        self._expand()
        return {state.value for state in self._states} | ({HOLE} if self.may_vanish else set())

    def _expand(self) -> None:
        """Let what is open take effect, in every way that is possible."""
        new = self._states
        while new:
            new = {
                State(write.change(state.value), number, frozenset(self._takes))
                for state in new
                for number, write in self._writes.items()
                if number > state.last and not (write.is_patch and self._is_behind(number, state))
            } - self._states
            self._states |= new
        for seen in self._reads.values():
            seen.update(state.value for state in self._states)

    def _is_behind(self, number: int, state: State) -> bool:
        return state.value == LOST or any(state.last < each < number for each in self._writes)

    def _keep(self, states: set[State], why: str) -> None:
        assert states, (
            f"{why}: none of {sorted(self._states, key=str)} with {sorted(self._writes)} open"
        )
        self._states = states

    # Writes.

    def begin(self, number: int, change: Change, *, is_patch: bool = False) -> None:
        self._expand()
        self._writes[number] = Write(change, is_patch)
        self._expand()

    def on_stored(self, number: int) -> None:
        """It took effect, or a later one replaced it."""
        self._expand()
        self._keep({each for each in self._states if each.last >= number}, f"{number} is stored")
        del self._writes[number]

    def on_refused(self, number: int, *, is_hidden: bool = False) -> None:
        """It may have taken effect or not; in some pools what it would have replaced is hidden."""
        self._expand()
        if is_hidden:
            self._states = {
                each if each.last >= number else self._hide(each, number) for each in self._states
            }
        del self._writes[number]

    def _hide(self, state: State, number: int) -> State:
        hidden = HOLE if state.value == HOLE or self.may_vanish else LOST
        return State(hidden, number, frozenset(self._takes))

    def on_vanished(self, number: int) -> None:
        """Its client is gone: it has taken effect by now, or never will."""
        self.on_refused(number)

    # Reads.

    def begin_read(self, number: int) -> None:
        self._reads[number] = set()
        self._expand()

    def end_read(self, number: int) -> set[Value]:
        """Return what a get may have seen while it waited."""
        self._expand()
        return self._reads.pop(number) | ({HOLE} if self.may_vanish else set())

    def on_read(self, values: set[Value]) -> None:
        """A get was answered at once with one of these values: that is what stands there."""
        if self.may_vanish and HOLE in values:
            self._vanish()
        self._expand()
        self._keep({each for each in self._states if each.value in values}, f"{values} is read")

    def _vanish(self) -> None:
        self._expand()
        self._states |= {replace(each, value=HOLE) for each in self._states}

    # Gets that take the page with them.

    def begin_take(self, number: int) -> None:
        self._expand()
        self._takes[number] = None

    def end_take(self, number: int, *, is_taken: bool) -> None:
        """It is over; a page that nobody replaced meanwhile is gone."""
        self._expand()
        del self._takes[number]
        states = set()
        for each in self._states:
            is_overtaken = number in each.overtaken
            value = HOLE if is_taken and not is_overtaken else each.value
            states.add(State(value, each.last, each.overtaken - {number}))
        self._states = states
