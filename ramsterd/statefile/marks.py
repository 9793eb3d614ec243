"""Which export or pool may be written, and what is to be written to the state file next.  Pure.

The idea is that of a file system's "dirty" flag.  Before the first write to a blank export is
acknowledged, the file on disk says that the export has pages (its mark is *set*).  A daemon that
starts without these pages reads the mark and keeps the export closed: it is *lost*, until somebody
says that it may be blank.  A mark that is set costs a front end one look at `Mark.is_set`.

The invariant: `is_set` holds only while **every** text that may stand on the disk, whatever a crash
makes of a write under way, names this filling.  A write that failed may have happened all the same,
so after it both texts are possible until one write ends well.

Why it holds: `_wanted` is what the file should say, and all texts come from it; `_durable` is what
the last write that ended well has said.  A filling has a generation of its own, and one that has
left `_wanted` never comes back.  So what is in both was in `_wanted` all the time in between, and
is in every text written since.

`next_write` begins a write, `on_written` ends it; the shell (`keeper`) does what lies in between.
"""

import enum
import math
from collections.abc import Callable, Collection, Mapping, Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from ramsterd.statefile.content import RECORDS_MAX, Content, Key, PoolKey, Record, describe

# After a write that failed: until then every first write is refused at once.
RETRY_SECONDS: Final = 1.0
FULL: Final = f"the state file has {RECORDS_MAX} records already"

# Called with whether the mark is set.
Done = Callable[[bool], None]


class MarkState(enum.Enum):
    """How an export or pool stands; the value is shown to operators."""

    BLANK = "blank"
    # It has pages, or is about to have.
    USED = "used"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An export or pool whose pages are gone; `user` is None for an export."""

    name: str
    user: int | None
    # Seconds since 1970.
    lost_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksStatistics:
    """What is lost, and how writing goes; `problem` is empty while all is well."""

    lost: tuple[Loss, ...]
    writes_total: int
    failed_writes_total: int
    problem: str


class Mark:
    """Of one export or pool: may it be written?  Front ends read `is_set` and `lost_at`, and change neither."""

    __slots__ = ("_marks", "is_set", "key", "lost_at", "on_filling")

    def __init__(self, marks: "Marks | None", key: Key) -> None:
        self._marks = marks
        self.key = key
        # Called with the generation before the first page of a filling may be put; empty: there is
        # none any more.
        self.on_filling: Callable[[str], None] = lambda _: None
        # Pages may be put.  Turns false only by `clear`, so never in the middle of a front end's
        # pass.
        self.is_set = marks is None
        # When a start found that its pages are gone, in seconds since 1970; 0: they are not.
        self.lost_at = 0

    @property
    def is_lost(self) -> bool:
        """Whether nobody may read or write it."""
        return bool(self.lost_at)

    @property
    def state(self) -> MarkState:
        """How it stands."""
        if self.lost_at:
            return MarkState.LOST
        return MarkState.USED if self.is_set else MarkState.BLANK

    def wait_set(self, done: Done) -> bool | None:
        """Return whether pages may be put, or None: `done` is called with it, later and once."""
        assert not self.lost_at, "nobody writes to what is lost"
        return self.is_set or self._marks is None or self._marks.wait_set(self, done)

    def clear(self) -> None:
        """It has no page any more, and no write is under way."""
        if self._marks is not None and self.is_set:
            self._marks.clear(self)

    def forget(self) -> None:
        """A pool was destroyed: one of the same name is another."""
        if self._marks is not None:
            self._marks.forget(self)


def unmarked() -> Mark:
    """Return a mark that is always set: of what nobody finds again after a restart."""
    return Mark(None, "")


class Marks:
    """The marks of all exports and pools of a node, and the file that keeps them."""

    def __init__(
        self,
        content: Content,
        *,
        new_generation: Callable[[], str],
        started_at: int,
        on_wanted: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over what the file says at a start.

        Args:
            content: That.  What it names is lost: the pages ended with the last incarnation.
            new_generation: Returns 32 random hexadecimal digits.
            started_at: Now, in seconds since 1970.
            on_wanted: Called when `next_write` has something to do.
        """
        self._new_generation = new_generation
        self.on_wanted = on_wanted
        records = {
            key: replace(record, lost_at=record.lost_at or started_at)
            for key, record in content.records.items()
        }
        self._wanted = replace(content, records=records)
        # What the file says for certain; None: one of several texts.
        self._written: Content | None = content
        self._writing: Content | None = None
        # The generation of each filling that the last text that is certain names.
        self._durable = _fillings(content)
        self._marks: dict[Key, Mark] = {}
        self._waiting: dict[Key, list[Done]] = {}
        # By user: a program that makes a pool is asked for these.
        self._lost_pools: dict[int, set[str]] = {}
        for key in records:
            if not isinstance(key, str):
                self._lost_pools.setdefault(key.user, set()).add(key.name)
        self._problem = ""
        self._retry_at = -math.inf
        self._writes_total = 0
        self._failed_writes_total = 0

    # What is known of this node.

    @property
    def last_incarnation(self) -> int:
        """The highest incarnation that was noted; 0: none."""
        return self._wanted.last_incarnation

    def note_incarnation(self, incarnation: int) -> None:
        """Keep the highest incarnation that this node has had; it is on disk once `is_written`."""
        if incarnation > self._wanted.last_incarnation:
            self._wanted = replace(self._wanted, last_incarnation=incarnation)
            self.on_wanted()

    @property
    def memory_id(self) -> str:
        """Of the memory that the last run used, or that this one does; empty: of none."""
        return self._wanted.memory_id

    @property
    def memory_folder(self) -> str:
        """Which folder keeps it; empty: none does."""
        return self._wanted.memory_folder

    def note_memory(self, memory_id: str, folder: str) -> None:
        """Name the memory that pages are put into from now on, and the folder that keeps it, or none.

        It is on disk once `is_written`.
        """
        noted = replace(self._wanted, memory_id=memory_id, memory_folder=folder)
        if noted != self._wanted:
            self._wanted = noted
            self.on_wanted()

    def adopt(self, fillings: Mapping[Key, str]) -> AbstractSet[Key]:
        """The pages of these fillings were kept, so they are not lost.

        Return those that are so, or that are blank.

        Only at a start, before anything is written.  What was lost at an earlier start stays lost,
        and so does what the file knows by another filling.  What it does not know at all has pages
        nevertheless: somebody removed the file.  A filling without a name never got its first page:
        there is nothing that could be lost.
        """
        assert self._written is not None, "the file says what the last run noted"
        before = self._written.records
        adopted: dict[Key, Record] = {}
        for key, generation in fillings.items():
            found = before.get(key, Record(generation))
            if found == Record(generation or found.generation):
                adopted[key] = found
        records = {**self._wanted.records, **adopted}
        for key in adopted:
            if not isinstance(key, str):
                self._lost_pools.get(key.user, set()).discard(key.name)
            if not fillings[key]:
                del records[key]
        self._wanted = replace(self._wanted, records=records)
        for mark in self._marks.values():
            self._refresh(mark)
        return adopted.keys()

    @property
    def is_written(self) -> bool:
        """Whether the file says all that it should."""
        return self._written is self._wanted

    # Marks.

    def of(self, key: Key) -> Mark:
        """Return the mark of an export or pool."""
        mark = self._marks.get(key)
        if mark is None:
            mark = self._marks[key] = Mark(self, key)
            self._refresh(mark)
        return mark

    def losses(self) -> tuple[Loss, ...]:
        """Return what is lost: exports first, by name."""
        found = [
            Loss(name=key, user=None, lost_at=record.lost_at)
            if isinstance(key, str)
            else Loss(name=key.name, user=key.user, lost_at=record.lost_at)
            for key, record in self._wanted.records.items()
            if record.lost_at
        ]
        return tuple(
            sorted(found, key=lambda loss: (-1 if loss.user is None else loss.user, loss.name))
        )

    def reset(self, key: Key) -> bool:
        """Let what was lost be blank from now on; return False if it is not lost.

        It is on disk once `is_written`; until then a crash makes it lost again.
        """
        record = self._wanted.records.get(key)
        if record is None or not record.lost_at:
            return False
        self._forget(key)
        return True

    def forget(self, mark: Mark) -> None:
        """A pool was destroyed: one of the same name is another."""
        self._forget(mark.key)
        self._marks.pop(mark.key, None)

    def lost_pools(self, user: int) -> AbstractSet[str]:
        """Return the names of the pools that a user has lost."""
        return self._lost_pools.get(user, frozenset())

    def wait_set(self, mark: Mark, done: Done) -> bool | None:
        """See `Mark.wait_set`."""
        if self._problem:
            return False
        records = self._wanted.records
        if mark.key not in records:
            if len(records) >= RECORDS_MAX:
                return False
            record = Record(self._new_generation())
            self._want({**records, mark.key: record})
        self._waiting.setdefault(mark.key, []).append(done)
        return None

    def clear(self, mark: Mark) -> None:
        """See `Mark.clear`."""
        self._forget(mark.key)

    def _forget(self, key: Key) -> None:
        records = self._wanted.records
        if key in records:
            if not isinstance(key, str):
                self._lost_pools.get(key.user, set()).discard(key.name)
            self._want({each: record for each, record in records.items() if each != key})
        if (mark := self._marks.get(key)) is not None:
            self._refresh(mark)
        for done in self._waiting.pop(key, ()):
            done(False)

    def _want(self, records: Mapping[Key, Record]) -> None:
        self._wanted = replace(self._wanted, records=records)
        self.on_wanted()

    def _refresh(self, mark: Mark) -> None:
        record = self._wanted.records.get(mark.key)
        mark.lost_at = 0 if record is None else record.lost_at
        is_set = (
            record is not None
            and not record.lost_at
            and self._durable.get(mark.key) == record.generation
        )
        if is_set != mark.is_set:
            mark.on_filling(record.generation if is_set and record is not None else "")
            mark.is_set = is_set

    # Writing.

    def next_deadline(self) -> float | None:
        """Return when `next_write` may have something again after a write that failed."""
        return self._retry_at if self._problem and self._writing is None else None

    def retry_now(self) -> None:
        """Let `next_write` try again at once: there is no later."""
        self._retry_at = -math.inf

    def next_write(self, *, now: float) -> Content | None:
        """Begin a write and return what is to be written, if anything is.

        `on_written` must follow.
        """
        if self._writing is not None or self.is_written or now < self._retry_at:
            return None
        self._writing = self._wanted
        self._written = None
        return self._writing

    def on_written(self, problem: str, *, now: float) -> None:
        """The write has ended: well (an empty text), or with a problem.

        Then nobody knows what the file says.
        """
        writing, self._writing = self._writing, None
        assert writing is not None
        if problem:
            self._failed_writes_total += 1
            self._retry_at = now + RETRY_SECONDS
        else:
            self._writes_total += 1
            self._retry_at = -math.inf
            self._written = writing
            self._durable = _fillings(writing)
        self._problem = problem
        for mark in self._marks.values():
            self._refresh(mark)
        self._answer()
        if not self.is_written:
            self.on_wanted()

    def _answer(self) -> None:
        """Answer all who wait and can be answered."""
        for key in list(self._waiting):
            if (is_set := self.of(key).is_set) or self._problem:
                for done in self._waiting.pop(key):
                    done(is_set)

    def statistics(self) -> MarksStatistics:
        """Return a snapshot."""
        return MarksStatistics(
            lost=self.losses(),
            writes_total=self._writes_total,
            failed_writes_total=self._failed_writes_total,
            problem=self._problem or (FULL if len(self._wanted.records) >= RECORDS_MAX else ""),
        )

    def check_invariants(self) -> None:
        """Assert what must be true between calls."""
        for key, mark in self._marks.items():
            record = self._wanted.records.get(key)
            assert mark.key == key
            assert not (mark.is_set and mark.is_lost)
            assert not mark.is_set or record is not None
        assert not (self._problem and self._waiting), "who waits for a write that failed is told"
        assert len(self._wanted.records) <= RECORDS_MAX


def _fillings(content: Content) -> dict[Key, str]:
    return {key: record.generation for key, record in content.records.items()}


def explain(loss: Loss, exports: Collection[str]) -> str:
    """Return the line for the log on a loss, given the exports of the config."""
    key: Key = loss.name if loss.user is None else PoolKey(loss.user, loss.name)
    line = f"the pages of {describe(key)} ended with the last run of ramsterd"
    if loss.user is not None:
        return f"{line}; it answers with errors until it is destroyed, or `ramsterctl pool reset {loss.user} {loss.name}`"
    if loss.name in exports:
        return f"{line}; it stays closed until `ramsterctl export reset {loss.name}` makes it blank"
    return f"{line}; it is not in the config; `ramsterctl export reset {loss.name}` forgets it"
