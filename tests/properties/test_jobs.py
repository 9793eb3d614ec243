"""Any work at any time: the table is bounded, names are unique, and each job ends once."""

from collections import Counter
from typing import TypeAlias

from hypothesis import given, strategies as st

from ramsterd.jobs.table import JobChange, JobTable
from ramsterd.jobs.work import ENDED_STATES, RULES, Ending, JobKind, JobState, Work

ENDED_JOBS_MAX = 3
counts = st.integers(0, 50)
endings = st.one_of(
    st.none(), st.sampled_from(ENDED_STATES).map(lambda state: Ending(state, "did"))
)


# One strategy for all: one for each kind, made again at each draw, would cost most of what the test does.
work = st.builds(
    Work,
    kind=st.sampled_from(JobKind),
    key=st.sampled_from(["a", "b"]),
    node=st.just("n1"),
    what=st.just("node n1"),
    is_active=st.booleans(),
    left=st.one_of(st.none(), counts),
    done_total=st.one_of(st.none(), counts),
    trailing=st.one_of(st.none(), counts),
    lost_total=counts,
    waits_for=st.sampled_from(["", "room"]),
    number=st.integers(0, 3),
    age_seconds=st.floats(0, 100),
    is_resumed=st.booleans(),
    seconds_to_deadline=st.one_of(st.none(), st.floats(-10, 10)),
    ending=endings,
)
works = st.lists(work, max_size=6, unique_by=lambda each: (each.kind, each.key))


Looks: TypeAlias = list[tuple[float, list[Work]]]


# One test of both: to draw what they look at costs most of it.
@given(st.lists(st.tuples(st.floats(0, 20), works), max_size=30))
def test_a_job_begins_once_and_ends_once_and_is_one_while_its_work_is_known(looks: Looks) -> None:
    check_that_each_begins_and_ends_once(looks)
    check_that_work_that_does_not_recur_is_one_job(looks)


def check_that_each_begins_and_ends_once(looks: Looks) -> None:
    table = JobTable(ended_jobs_max=ENDED_JOBS_MAX)
    ended: Counter[str] = Counter()
    now = 0.0
    for seconds, found in looks:
        now += seconds
        before = {job.id: job.state for job in table.statistics().jobs}
        table.look(found, now=now)
        table.check_invariants()
        jobs = table.statistics().jobs
        live = [job for job in jobs if job.ended_seconds is None]
        assert len(live) <= len(found)
        assert len(jobs) - len(live) <= ENDED_JOBS_MAX
        for job in jobs:
            if before.get(job.id) in ENDED_STATES:
                assert job.state is before[job.id], "an end is for good"
            assert job.done >= 0
            assert (job.ended_seconds is None) == (job.outcome == "")
        for news in table.take_news():
            if news.change is JobChange.ENDED:
                ended[news.job.id] += 1
    assert all(count == 1 for count in ended.values())
    totals = table.statistics().ended_total.values()
    total = sum(each.done + each.failed + each.cancelled for each in totals)
    assert total >= sum(ended.values())


def check_that_work_that_does_not_recur_is_one_job(looks: Looks) -> None:
    table = JobTable()
    names: dict[tuple[JobKind, str], str] = {}
    now = 0.0
    for seconds, found in looks:
        now += seconds
        table.look(found, now=now)
        present = {(each.kind, each.key) for each in found if not RULES[each.kind].recurs}
        names = {key: name for key, name in names.items() if key in present}
        for key in present:
            job = table.of(*key)
            assert job is not None
            assert names.setdefault(key, job.id) == job.id
            assert job.state in JobState
