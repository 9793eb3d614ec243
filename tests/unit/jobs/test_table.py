"""Which work is a job, how it is named, and what is told of it."""

from ramsterd.jobs.table import JobTable
from ramsterd.jobs.work import RULES, Ending, JobKind, JobState, Order, Work
from tests.helpers.job_works import drain, rebuild, verify

APPEAR = RULES[JobKind.REBUILD].appear_seconds
CLEAR = RULES[JobKind.REBUILD].clear_seconds
DONE = Ending(JobState.DONE, "9 pages checked, 0 damaged")


def looked(*looks: tuple[float, list[Work]], table: JobTable | None = None) -> JobTable:
    table = table or JobTable()
    for now, works in looks:
        table.look(works, now=now)
        table.check_invariants()
    return table


def shown(table: JobTable) -> list[tuple[str, str]]:
    return [(job.id, job.state.value) for job in table.statistics().jobs]


def told(table: JobTable) -> list[str]:
    return [f"{news.job.id} {news.change.value}" for news in table.take_news()]


def test_a_drain_has_the_number_that_all_nodes_know() -> None:
    table = looked((0, [drain(9)]), (1, [drain(0)]), (2, [drain(0)]))
    assert shown(table) == [("drain-3", "done")]
    assert told(table) == ["drain-3 began", "drain-3 ended"]
    assert told(table) == []


def test_two_drains_of_one_number_have_two_names() -> None:
    table = looked((0, [drain(9), drain(9, key="n4 3")]))
    assert shown(table) == [("drain-3", "running"), ("drain-4", "running")]


def test_the_next_drain_of_a_node_is_another_job() -> None:
    again = drain(4, key="n2 9", number=9)
    table = looked((0, [drain(0)]), (1, []), (2, [again]))
    assert shown(table) == [("drain-9", "running"), ("drain-3", "done")]


def test_what_goes_on_comes_first_and_the_latest_end_next() -> None:
    table = looked(
        (0, [verify(1), drain(5)]),
        (1, [verify(1, ending=DONE), drain(5)]),
        (2, [verify(2), drain(5)]),
        (3, [verify(2, ending=DONE), drain(5)]),
    )
    assert [name for name, _ in shown(table)] == ["drain-3", "verify-2", "verify-1"]


def test_a_check_that_is_over_before_anybody_looked_was_a_job() -> None:
    table = looked((0, [verify(1, ending=DONE)]), (1, [verify(1, ending=DONE)]))
    assert shown(table) == [("verify-1", "done")]
    assert told(table) == ["verify-1 began", "verify-1 ended"]


def test_pages_at_risk_for_a_moment_are_no_job() -> None:
    table = looked((0, [rebuild(9)]), (APPEAR - 1, [rebuild(9)]), (APPEAR, [rebuild(0)]))
    looked((APPEAR + 1, [rebuild(9)]), (2 * APPEAR, [rebuild(9)]), table=table)
    assert shown(table) == []


def test_what_was_done_before_it_was_a_job_counts() -> None:
    table = looked((0, [rebuild(9, 70)]), (APPEAR, [rebuild(4, 75)]))
    [job] = table.statistics().jobs
    assert (job.done, job.total, job.age_seconds) == (5, 9, APPEAR)


def test_rebuild_is_a_new_job_each_time() -> None:
    table = JobTable()
    for start in (0.0, 100.0):
        end = start + APPEAR + 1
        looks = [(start, [rebuild(9)]), (start + APPEAR, [rebuild(9)])]
        looks += [(end, [rebuild(0)]), (end + CLEAR, [rebuild(0)])]
        looked(*looks, table=table)
    assert shown(table) == [("rebuild-2", "done"), ("rebuild-1", "done")]


def test_looking_for_pages_at_risk_is_no_job_and_does_not_end_one() -> None:
    counting = rebuild(0, is_active=True)
    assert shown(looked((0, [counting]), (9, [counting]))) == []
    table = looked((0, [rebuild(9)]), (APPEAR, [rebuild(9)]), (90, [counting]), (99, [counting]))
    assert shown(table) == [("rebuild-1", "running")]


def test_the_job_that_an_operator_begins_is_theirs_to_its_end() -> None:
    table = JobTable()
    table.expect(JobKind.VERIFY, Order("n1", "strange reads"))
    looked(
        (0, [verify(1)]), (1, [verify(1)]), (2, [verify(1, ending=DONE), verify(2)]), table=table
    )
    jobs = {job.id: (job.by, job.reason) for job in table.statistics().jobs}
    assert jobs == {"verify-1": ("n1", "strange reads"), "verify-2": ("", "")}


def test_one_that_runs_already_stays_whose_it_was() -> None:
    table = looked((0, [verify(1)]))
    table.expect(JobKind.VERIFY, Order("n1"))
    looked((1, [verify(1)]), (2, [verify(1, ending=DONE)]), (3, [verify(2)]), table=table)
    assert [job.by for job in table.statistics().jobs] == ["", ""]


def test_a_drain_that_was_over_before_this_daemon_began_is_no_news() -> None:
    table = looked((0, [drain(None, None, is_resumed=True)]), (1, [drain(0, is_resumed=True)]))
    assert shown(table) == [("drain-3", "done")]
    assert told(table) == []


def test_others_drains_are_shown_and_not_logged() -> None:
    table = looked((0, [drain(9, is_ours=False)]), (1, [drain(0, is_ours=False)]))
    assert shown(table) == [("drain-3", "done")]
    assert told(table) == []


def test_that_a_job_is_overdue_is_told_once() -> None:
    late = drain(9, seconds_to_deadline=-1)
    table = looked((0, [drain(9, seconds_to_deadline=1)]), (2, [late]), (3, [late]))
    assert told(table) == ["drain-3 began", "drain-3 overdue"]
    assert shown(table) == [("drain-3", "overdue")]


def test_ended_jobs_are_bounded_by_number_and_age() -> None:
    table = JobTable(ended_jobs_max=2, ended_seconds_max=100)
    looked(*((now, [verify(now, ending=DONE)]) for now in range(1, 6)), table=table)
    assert [name for name, _ in shown(table)] == ["verify-5", "verify-4"]
    looked((105, []), table=table)
    assert [name for name, _ in shown(table)] == ["verify-5"]
    assert table.find("verify-1") is None
    assert table.statistics().ended_total[JobKind.VERIFY].done == 5


def test_a_job_is_found_by_its_name_and_by_its_work() -> None:
    table = looked((0, [verify(1, ending=DONE), drain(5)]))
    for name, kind, key in (
        ("verify-1", JobKind.VERIFY, "pages 1"),
        ("drain-3", JobKind.DRAIN, "n2 3"),
    ):
        found = table.find(name)
        assert found is not None
        assert table.of(kind, key) is found
    assert table.find("drain-9") is None
