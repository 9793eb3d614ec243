from ramsterd.core.counters import Counters
from ramsterd.core.slices import SLICE_SECONDS, SLICE_UNITS, Slices, Steps
from ramsterd.core.work import Work


def steps_of(log: list[str], name: str, steps: int, units: int = 100) -> Steps:
    for _ in range(steps):
        log.append(name)
        yield units


def run_slice(slices: Slices, log: list[str]) -> list[str]:
    """Do the next slice when it is due; return what was done."""
    del log[:]
    due = slices.next_deadline()
    assert due is not None
    slices.on_deadline(due)
    return list(log)


def test_without_work_nothing_is_due() -> None:
    slices = Slices()
    assert slices.next_deadline() is None
    slices.on_deadline(1.0)
    assert not len(slices)


def test_the_first_slice_is_due_at_once_and_the_next_after_a_pause() -> None:
    slices, log = Slices(), list[str]()
    slices.add(steps_of(log, "a", 100))
    slices.on_deadline(10.0)
    done = len(log)
    assert SLICE_UNITS // 100 <= done <= SLICE_UNITS // 100 + 1
    slices.on_deadline(10.0 + SLICE_SECONDS / 2)
    assert len(log) == done
    slices.on_deadline(10.0 + SLICE_SECONDS)
    assert len(log) > done


def test_work_ends_and_is_forgotten() -> None:
    slices, log = Slices(), list[str]()
    slices.add(steps_of(log, "a", 3))
    slices.on_deadline(0.0)
    assert log == ["a"] * 3
    assert slices.next_deadline() is None


def test_a_pass_is_as_short_with_many_as_with_one() -> None:
    slices, log = Slices(), list[str]()
    for each in "abcd":
        slices.add(steps_of(log, each, 1000))
    done = run_slice(slices, log)
    assert len(done) <= SLICE_UNITS // 100 + 4
    assert set(done) == set("abcd"), "all have their turn"


def test_more_than_have_a_turn_in_one_pass_have_it_in_the_next() -> None:
    slices, log = Slices(), list[str]()
    names = [str(each) for each in range(10)]
    for each in names:
        slices.add(steps_of(log, each, 3, units=SLICE_UNITS))
    for start in range(30):
        assert run_slice(slices, log) == [names[start % 10]]
    while slices.next_deadline() is not None:
        assert not run_slice(slices, log)


def test_one_that_ends_leaves_its_share_to_the_others() -> None:
    slices, log = Slices(), list[str]()
    slices.add(steps_of(log, "short", 1))
    slices.add(steps_of(log, "long", 1000))
    done = run_slice(slices, log)
    assert done.count("long") * 100 >= SLICE_UNITS // 2 - 100


def test_work_is_counted_by_name() -> None:
    counters = Counters()
    work = Work(counters)
    work["flush"] += 10
    before = work.snapshot()
    assert work.most_since(before) == ""
    work["evict"] += 5
    work["flush"] += 3
    assert work.total() == 18
    assert work.most_since(before) == "evict"
    assert work.most_since(before, units_min=6) == ""
    counters.put += 100
    counters.get_hole += 7
    assert work.most_since(before) == "put"
    assert work.total() == 125
