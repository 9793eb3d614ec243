"""Any work at any time: the table is bounded, names are unique, and each job ends once."""

from collections import Counter

from hypothesis import given, strategies as st

from ramsterd.jobs.table import JobChange, JobTable
from ramsterd.jobs.work import ENDED_STATES, RULES, Ending, JobKind, JobState, Work

ENDED_JOBS_MAX = 3
counts = st.integers(0, 50)
endings = st.one_of(
    st.none(), st.sampled_from(ENDED_STATES).map(lambda state: Ending(state, "did"))
)


def work(kind: JobKind) -> st.SearchStrategy[Work]:
    return st.builds(
        Work,
        kind=st.just(kind),
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


works = st.lists(
    st.sampled_from(JobKind).flatmap(work), max_size=6, unique_by=lambda each: (each.kind, each.key)
)


@given(st.lists(st.tuples(st.floats(0, 20), works), max_size=30))
def test_a_job_begins_once_and_ends_once(looks: list[tuple[float, list[Work]]]) -> None:
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


@given(st.lists(st.tuples(st.floats(0, 20), works), max_size=30))
def test_work_that_does_not_recur_is_one_job_while_it_is_known(
    looks: list[tuple[float, list[Work]]],
) -> None:
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
