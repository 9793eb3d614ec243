"""How one job goes: its state, its figures, and the line with which it ends."""

import pytest

from ramsterd.jobs.job import STALL_SECONDS, TRAILING_SECONDS, Job, told_seconds
from ramsterd.jobs.work import Ending, JobState, Work
from tests.helpers.job_works import drain, rebuild, verify


def job_of(*looks: tuple[float, Work], clear_seconds: float = 0.0) -> Job:
    """Return a job that began with the first look, and has seen all others."""
    job = Job("drain-3", looks[0][1], now=looks[0][0])
    for now, work in looks:
        job.on_work(work, now=now, clear_seconds=clear_seconds)
    return job


def test_it_ends_in_one_line_when_nothing_is_left() -> None:
    job = job_of((0, drain(12_400)), (4, drain(6_000)), (8, drain(0)))
    assert job.state is JobState.DONE
    assert job.outcome == "done, 12,400 pages moved in 8 s"


def test_figures_follow_from_what_is_left() -> None:
    shown = job_of((0, drain(1000)), (5, drain(500))).statistics(6)
    assert (shown.state, shown.done, shown.total) == (JobState.RUNNING, 500, 1000)
    assert (shown.per_second, shown.seconds_left, shown.age_seconds) == (100, 5, 6)
    assert (shown.by, shown.reason) == ("n1", "a new kernel")


def test_pages_that_come_meanwhile_count_too() -> None:
    shown = job_of((0, drain(1000)), (1, drain(1200)), (2, drain(900))).statistics(2)
    assert (shown.done, shown.total) == (300, 1200)


def test_who_hears_of_it_late_counts_from_what_the_node_says_there_was_at_most() -> None:
    shown = job_of((0, drain(900, left_max=1200)), (1, drain(300, left_max=1200))).statistics(1)
    assert (shown.done, shown.total) == (900, 1200)


def test_what_the_node_says_counts_for_more_than_what_was_seen_of_it() -> None:
    """All members see what it says, and each of them something else in between."""
    shown = job_of((0, drain(1210, left_max=1200)), (1, drain(300, left_max=1200))).statistics(1)
    assert (shown.done, shown.total) == (900, 1200)


def test_one_that_began_before_this_daemon_has_all_figures_if_the_node_says_them() -> None:
    work = drain(5, age_seconds=7200, is_resumed=True, left_max=90)
    job = job_of((0, work), (1, drain(0, is_resumed=True, left_max=90)))
    assert job.outcome == "done, 90 pages moved in 2h"


def test_after_a_restart_of_the_node_that_works_it_is_said_since_when_it_counts() -> None:
    job = job_of(
        (0, drain(70, left_max=90)), (1, drain(60, left_max=60)), (2, drain(0, left_max=60))
    )
    assert job.outcome == "done, 60 pages moved since ramsterd started in 2 s"


def test_old_figures_are_no_standstill() -> None:
    """The node may count for minutes, or answer nobody: what it does meanwhile is not known."""
    old = [(now, drain(700, as_of_seconds=now)) for now in range(0, 60, 5)]
    job = job_of(*old)
    assert (job.state, job.statistics(55).as_of_seconds) == (JobState.RUNNING, 55)
    job.on_work(drain(700, as_of_seconds=1), now=61, clear_seconds=0)
    assert job.state is JobState.WAITING, "now it says the same again"


def test_old_figures_end_nothing() -> None:
    old = [(now, drain(0, 30, trailing_as_of_seconds=now)) for now in range(0, 60, 5)]
    assert job_of(*old).is_live


def test_what_is_being_counted_has_no_total_yet() -> None:
    looks = [(now, rebuild(40 - now, now, is_counting=True)) for now in range(3)]
    shown = job_of(*looks).statistics(2)
    assert (shown.done, shown.total, shown.seconds_left) == (2, None, None)


def test_the_counter_of_a_check_is_its_own() -> None:
    """One that the daemon begins by itself is seen when it has begun."""
    shown = job_of((0, verify(1, left=7, done_total=3))).statistics(0)
    assert (shown.done, shown.total) == (3, 10)


def test_without_progress_there_is_no_estimate_long_before_that_is_a_standstill() -> None:
    job = job_of((0, drain(1000)), (1, drain(500)))
    assert job.statistics(1).seconds_left is not None
    for now in (2, 4, 6):
        job.on_work(drain(500), now=now, clear_seconds=0)
    assert job.statistics(6).seconds_left is None
    assert job.state is JobState.RUNNING


def test_what_comes_home_behind_it_is_shown() -> None:
    assert job_of((0, drain(0, 30))).statistics(0).trailing == 30


def test_what_a_machine_counts_since_its_start_is_not_all_of_this_job() -> None:
    shown = job_of((0, rebuild(10, 70)), (1, rebuild(4, 76))).statistics(1)
    assert (shown.done, shown.total) == (6, 10)


def test_before_the_first_answer_nothing_is_known() -> None:
    shown = job_of((0, drain(None, None)), (100, drain(None, None))).statistics(100)
    assert (shown.state, shown.total, shown.seconds_left) == (JobState.RUNNING, None, None)


def test_a_standstill_is_named_with_its_reason_until_something_moves() -> None:
    job = job_of((0, drain(700)), (STALL_SECONDS, drain(700)))
    shown = job.statistics(STALL_SECONDS)
    assert (shown.state, shown.waits_for) == (JobState.WAITING, "no other node has room")
    assert shown.seconds_left is None
    job.on_work(drain(690), now=STALL_SECONDS + 1, clear_seconds=0)
    assert job.statistics(STALL_SECONDS + 1).state is JobState.RUNNING


def test_a_pause_of_this_process_is_no_standstill() -> None:
    job = job_of((0, drain(700)))
    job.on_work(drain(700), now=60, clear_seconds=0, paused_seconds=55)
    assert job.statistics(60).state is JobState.RUNNING
    job.on_work(drain(700), now=66, clear_seconds=0, paused_seconds=55)
    assert job.statistics(66).state is JobState.WAITING
    home = job_of((0, drain(0, 30)))
    home.on_work(drain(0, 30), now=60, clear_seconds=0, paused_seconds=55)
    assert home.is_live, "what trails may have moved"


def test_what_wobbles_or_hardly_falls_stands_still() -> None:
    lefts = (1000, 1003, 999, 1001, 998, 995, 997, 994, 993, 992, 991)
    job = job_of(*((now, drain(left)) for now, left in enumerate(lefts)))
    assert job.statistics(10).state is JobState.WAITING
    job.on_work(drain(990), now=11, clear_seconds=0)
    assert job.statistics(11).state is JobState.RUNNING, "one in a hundred is progress"


def test_what_can_not_begin_waits_at_once() -> None:
    assert job_of((0, drain(None, waits_for="no link"))).state is JobState.WAITING


def test_past_its_deadline_it_is_overdue_and_goes_on() -> None:
    job = job_of((0, drain(9, seconds_to_deadline=1)), (2, drain(9, seconds_to_deadline=-1)))
    assert (job.state, job.is_live) == (JobState.OVERDUE, True)
    job.on_work(drain(9, seconds_to_deadline=60), now=3, clear_seconds=0)
    assert job.state is JobState.RUNNING, "an operator gave it more time"
    job.on_work(drain(0, seconds_to_deadline=-2), now=5, clear_seconds=0)
    assert job.outcome == "done, 9 pages moved in 5 s, after its deadline"


@pytest.mark.parametrize("left", [None, 0])
def test_nobody_calls_overdue_what_is_not_known_or_only_trails(left: int | None) -> None:
    work = drain(left, 5, seconds_to_deadline=-1)
    assert job_of((0, work)).state is JobState.RUNNING


def test_what_trails_is_waited_for_while_it_moves() -> None:
    job = job_of((0, drain(0, 90)), (9, drain(0, 60)), (18, drain(0, 30)))
    assert job.is_live
    job.on_work(drain(0, 30), now=18 + TRAILING_SECONDS, clear_seconds=0)
    assert job.state is JobState.DONE


def test_what_is_gone_was_called_off() -> None:
    job = job_of((0, drain(700)), (5, drain(300)))
    job.on_gone(now=6)
    assert job.state is JobState.CANCELLED
    assert job.outcome == "cancelled: 300 pages left; 400 pages moved in 6 s"


def test_what_is_gone_with_nothing_left_is_done() -> None:
    job = job_of((0, drain(7)), (1, drain(0, 3)))
    job.on_gone(now=2)
    assert job.outcome == "done, 7 pages moved in 2 s"


def test_a_pause_does_not_end_it() -> None:
    job = job_of((0, rebuild(5)), (1, rebuild(0, 5)), (2, rebuild(2, 5)), clear_seconds=3)
    assert job.is_live
    for now in (3, 5, 6):
        job.on_work(rebuild(0, 7), now=now, clear_seconds=3)
    assert job.outcome == "done, 7 pages copied again in 6 s"


def test_lost_pages_make_it_fail() -> None:
    job = job_of((0, rebuild(5, lost_total=1)), (1, rebuild(0, 3, lost_total=3)))
    assert job.state is JobState.FAILED
    assert job.outcome == "failed: 2 pages lost with the last copy; 3 pages copied again in 1 s"


def test_a_machine_may_say_itself_how_it_ended() -> None:
    ending = Ending(JobState.FAILED, "9 pages checked, 1 damaged", "there is damage")
    job = job_of((0, verify(1)), (2, verify(1, ending=ending)))
    assert job.outcome == "failed: there is damage; 9 pages checked, 1 damaged in 2 s"


def test_one_of_before_a_restart_says_since_when_it_counts() -> None:
    job = job_of((0, drain(5, age_seconds=7200, is_resumed=True)), (1, drain(0, is_resumed=True)))
    assert job.outcome == "done, 5 pages moved since ramsterd started in 2h"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "less than 1 s"), (8.4, "8 s"), (95, "1m 35s")]
)
def test_times_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert told_seconds(seconds) == text
