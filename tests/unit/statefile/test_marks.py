"""Marks: nothing is written before every text that may be on the disk says so."""

import itertools

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ramsterd.statefile.content import RECORDS_MAX, Content, Key, PoolKey, Record
from ramsterd.statefile.marks import FULL, RETRY_SECONDS, Marks, MarkState, explain, unmarked

OLD = Record("0" * 32)


def make(content: Content = Content()) -> Marks:  # noqa: B008  frozen
    numbers = itertools.count(1)
    return Marks(content, new_generation=lambda: f"{next(numbers):032x}", started_at=1_000)


def written(marks: Marks, *, now: float = 0.0) -> Content:
    """Let one write end well; return what the file says then."""
    content = marks.next_write(now=now)
    assert content is not None
    marks.on_written("", now=now)
    return content


def test_a_new_node_writes_its_file_once() -> None:
    marks = make()
    assert written(marks) == Content()
    assert marks.is_written
    assert marks.next_write(now=0) is None


def test_a_first_write_waits_until_the_file_names_the_export() -> None:
    marks = make()
    mark, told = marks.of("swap0"), list[bool]()
    assert mark.state.value == "blank"
    assert mark.wait_set(told.append) is None
    content = marks.next_write(now=0)
    assert content is not None
    assert list(content.records) == ["swap0"]
    assert not mark.is_set
    assert not told
    marks.on_written("", now=0)
    assert told == [True]
    assert mark.state is MarkState.USED
    assert mark.wait_set(told.append) is True
    assert marks.is_written


def test_a_filling_whose_pages_were_kept_is_not_lost() -> None:
    pool = PoolKey(5, "spill")
    marks = make(Content(9, {"swap0": OLD, pool: OLD, "gone": OLD, "old": Record("0" * 32, 7)}))
    swap0 = marks.of("swap0")
    assert swap0.is_lost
    new = "f" * 32
    adopted = marks.adopt(
        {
            "swap0": OLD.generation,
            pool: OLD.generation,
            "gone": new,
            "old": OLD.generation,
            "x": new,
        }
    )
    assert adopted == {"swap0", pool, "x"}
    assert swap0.is_set
    assert not marks.of("x").is_set, "before the file says so"
    assert marks.of(pool).state is MarkState.USED
    assert not marks.lost_pools(5)
    # Another filling, and one that an earlier start has lost.
    assert [loss.name for loss in marks.losses()] == ["gone", "old"]
    assert written(marks).records == {
        "swap0": OLD, pool: OLD, "x": Record(new), "gone": Record("0" * 32, 1_000), "old": Record("0" * 32, 7),
    }  # fmt: skip
    assert marks.of("x").is_set
    marks.check_invariants()


def test_a_filling_that_never_got_a_page_is_blank_again() -> None:
    marks = make(Content(9, {"swap0": OLD, "old": Record("0" * 32, 7)}))
    assert marks.adopt({"swap0": "", "old": "", "new": ""}) == {"swap0", "new"}
    assert marks.of("swap0").state is MarkState.BLANK
    assert marks.of("old").is_lost
    assert written(marks).records == {"old": Record("0" * 32, 7)}


def test_a_filling_is_told_before_its_first_page_and_when_it_ends() -> None:
    marks, told = make(), list[tuple[str, bool]]()
    mark = marks.of("swap0")
    mark.on_filling = lambda generation: told.append((generation, mark.is_set))
    mark.wait_set(lambda _: None)
    assert not told
    written(marks)
    assert told == [(f"{1:032x}", False)]
    mark.clear()
    assert told[1:] == [("", True)]


def test_the_memory_is_named_by_the_next_write() -> None:
    marks = make(Content(9, {}, memory_id="1" * 32))
    assert marks.memory_id == "1" * 32
    marks.note_memory("2" * 32, "")
    assert written(marks) == Content(9, {}, memory_id="2" * 32)
    marks.note_memory("2" * 32, "/run/pages")
    assert marks.memory_folder == "/run/pages"
    assert written(marks) == Content(9, {}, memory_id="2" * 32, memory_folder="/run/pages")
    marks.note_memory("2" * 32, "/run/pages")
    assert marks.is_written


def test_a_first_write_that_comes_while_another_is_noted_waits_for_the_next() -> None:
    marks = make()
    told = list[str]()
    marks.of("a").wait_set(lambda _: told.append("a"))
    assert marks.next_write(now=0) is not None
    marks.of("b").wait_set(lambda _: told.append("b"))
    assert marks.next_write(now=0) is None  # one at a time
    marks.on_written("", now=0)
    assert told == ["a"]
    written(marks)
    assert told == ["a", "b"]


def test_all_who_wait_for_an_export_are_told() -> None:
    marks = make()
    told = list[bool]()
    for _ in range(3):
        marks.of("a").wait_set(told.append)
    written(marks)
    assert told == [True] * 3


def test_a_start_without_its_pages_calls_lost_what_the_file_names() -> None:
    marks = make(Content(9, {PoolKey(5, "spill"): OLD, PoolKey(0, "a"): OLD, "swap0": OLD}))
    mark = marks.of("swap0")
    assert mark.is_lost
    assert mark.state is MarkState.LOST
    assert not mark.is_set
    assert [(loss.name, loss.user, loss.lost_at) for loss in marks.losses()] == [
        ("swap0", None, 1_000),
        ("a", 0, 1_000),
        ("spill", 5, 1_000),
    ]
    assert marks.lost_pools(5) == {"spill"}
    assert marks.lost_pools(6) == set()
    assert marks.last_incarnation == 9
    assert written(marks).records["swap0"].lost_at == 1_000


def test_the_time_of_a_loss_stays_over_restarts() -> None:
    marks = make(Content(0, {"swap0": Record("0" * 32, 777)}))
    assert marks.of("swap0").lost_at == 777


def test_a_reset_makes_blank_what_was_lost() -> None:
    marks = make(Content(0, {"swap0": OLD}))
    mark = marks.of("swap0")
    assert marks.reset("swap0")
    assert mark.state is MarkState.BLANK
    assert not marks.reset("swap0")
    assert written(marks) == Content()
    told = list[bool]()
    assert mark.wait_set(told.append) is None
    assert written(marks).records["swap0"].generation != OLD.generation
    assert told == [True]


def test_an_export_that_is_in_use_is_not_reset() -> None:
    marks = make()
    marks.of("swap0").wait_set(lambda _: None)
    written(marks)
    assert not marks.reset("swap0")
    assert marks.of("swap0").is_set


def test_a_reset_that_is_not_on_disk_yet_does_not_lend_its_old_mark() -> None:
    """The file names the old filling; a new one needs a write of its own."""
    marks = make(Content(0, {"swap0": OLD}))
    marks.reset("swap0")
    assert marks.of("swap0").wait_set(lambda _: None) is None
    assert not marks.of("swap0").is_set
    written(marks)
    assert marks.of("swap0").is_set


def test_a_first_write_is_refused_while_the_file_cant_be_written() -> None:
    marks = make()
    mark, told = marks.of("swap0"), list[bool]()
    mark.wait_set(told.append)
    assert marks.next_write(now=0) is not None
    marks.on_written("no space", now=0)
    assert told == [False]
    assert not mark.is_set
    assert marks.statistics().problem == "no space"
    assert marks.next_deadline() == RETRY_SECONDS
    assert mark.wait_set(told.append) is False
    assert marks.next_write(now=RETRY_SECONDS / 2) is None
    written(marks, now=RETRY_SECONDS)
    assert marks.next_deadline() is None
    assert marks.statistics().problem == ""
    assert mark.is_set  # named, and without a page: on the safe side


def test_a_failed_write_may_have_happened() -> None:
    """A mark that a failed write would have cleared is not set again by what the file said before."""
    marks = make()
    mark = marks.of("swap0")
    mark.wait_set(lambda _: None)
    written(marks)
    mark.clear()
    assert marks.next_write(now=0) is not None
    marks.on_written("i/o error", now=0)
    written(marks, now=RETRY_SECONDS)
    assert mark.wait_set(lambda _: None) is None


def test_other_exports_stay_set_while_the_file_is_written_or_cant_be() -> None:
    marks = make()
    other = marks.of("other")
    other.wait_set(lambda _: None)
    written(marks)
    marks.of("swap0").wait_set(lambda _: None)
    assert marks.next_write(now=0) is not None
    assert other.is_set
    marks.on_written("no space", now=0)
    assert other.is_set


def test_a_destroyed_pool_tells_who_waits_and_leaves_nothing() -> None:
    marks = make()
    key, told = PoolKey(5, "spill"), list[bool]()
    mark = marks.of(key)
    mark.wait_set(told.append)
    assert marks.next_write(now=0) is not None
    marks.forget(mark)
    assert told == [False]
    marks.on_written("", now=0)
    assert not marks.of(key).is_set  # of a new pool
    assert written(marks) == Content()


def test_an_incarnation_is_noted_and_never_falls() -> None:
    marks = make(Content(7))
    marks.note_incarnation(9)
    marks.note_incarnation(8)
    assert written(marks).last_incarnation == 9


def test_a_full_file_refuses_one_more_export_and_says_so() -> None:
    records: dict[Key, Record] = {f"x{n}": OLD for n in range(RECORDS_MAX)}
    marks = make(Content(0, records))
    assert marks.of("swap0").wait_set(lambda _: None) is False
    assert marks.statistics().problem == FULL
    marks.reset("x0")
    assert marks.of("swap0").wait_set(lambda _: None) is None


def test_what_nobody_finds_again_is_always_set() -> None:
    mark = unmarked()
    assert mark.is_set
    mark.clear()
    assert mark.wait_set(lambda _: None) is True


def test_a_last_try_does_not_wait_for_its_time() -> None:
    marks = make()
    marks.next_write(now=0)
    marks.on_written("given up", now=0)
    marks.retry_now()
    assert written(marks, now=0) == Content()


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("swap0", "stays closed until `ramsterctl export reset swap0` makes it blank"),
        ("old", "not in the config; `ramsterctl export reset old` forgets it"),
        (PoolKey(5, "spill"), "`ramsterctl pool reset 5 spill`"),
    ],
)
def test_each_loss_is_a_line_that_says_what_to_type(key: str | PoolKey, line: str) -> None:
    (loss,) = make(Content(0, {key: OLD})).losses()
    found = explain(loss, ["swap0"])
    assert line in found


class Incarnations(RuleBasedStateMachine):
    """Lives of one node over one disk: a crash leaves any text that a write under way may have left."""

    def __init__(self) -> None:
        super().__init__()
        self.generations = itertools.count(1)
        # Every text that may be on the disk.
        self.disk = [Content()]
        # Exports with pages that were acknowledged.
        self.acknowledged = set[str]()
        self.now = 0.0

    @initialize()
    def start(self) -> None:
        self.marks = Marks(
            self.disk[0],
            new_generation=lambda: f"{next(self.generations):032x}",
            started_at=1,
        )
        self.writing: Content | None = None

    @rule(name=st.sampled_from("abc"))
    def write_pages(self, name: str) -> None:
        mark = self.marks.of(name)
        if mark.is_lost:
            return

        def done(is_set: bool) -> None:
            if is_set:
                self.acknowledged.add(name)

        if mark.wait_set(done):
            self.acknowledged.add(name)

    @rule(name=st.sampled_from("abc"))
    def trim(self, name: str) -> None:
        mark = self.marks.of(name)
        if not mark.is_lost:
            self.acknowledged.discard(name)
            mark.clear()

    @rule(name=st.sampled_from("abc"))
    def reset(self, name: str) -> None:
        if self.marks.reset(name):
            self.acknowledged.discard(name)

    @precondition(lambda self: self.writing is None)
    @rule()
    def begin(self) -> None:
        self.now += RETRY_SECONDS
        self.writing = self.marks.next_write(now=self.now)
        if self.writing is not None:
            self.disk.append(self.writing)

    @precondition(lambda self: self.writing is not None)
    @rule(is_good=st.booleans())
    def end(self, is_good: bool) -> None:
        if is_good:
            assert self.writing is not None
            self.disk = [self.writing]
        self.writing = None
        self.marks.on_written("" if is_good else "broken", now=self.now)

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        self.disk = [data.draw(st.sampled_from(self.disk))]
        self.start()
        for name in self.acknowledged:
            assert self.marks.of(name).is_lost, "a blank export in place of acknowledged pages"

    @invariant()
    def what_was_acknowledged_is_in_every_text(self) -> None:
        self.marks.check_invariants()
        for name in self.acknowledged:
            assert all(name in content.records for content in self.disk)


TestLives = pytest.mark.slow(Incarnations.TestCase)
TestLives.settings = settings(max_examples=200, stateful_step_count=40)


@given(st.integers(0, 1 << 64))
def test_any_incarnation_can_be_noted(incarnation: int) -> None:
    marks = make()
    marks.note_incarnation(min(incarnation, (1 << 64) - 1))
    assert written(marks).last_incarnation == min(incarnation, (1 << 64) - 1)
