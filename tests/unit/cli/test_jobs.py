"""`ramsterctl jobs`, `job watch` and `job cancel`: what they ask for, what they print, how they end."""

import json

import pytest

from ramsterd.cli import job_watching
from ramsterd.cli.format_jobs import progress, watch_line
from ramsterd.cli.jobs import job_group, jobs_command
from tests.fakes.job_daemon import Daemon, done, running


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watching, "POLL_SECONDS", 0)


def test_jobs_that_go_on_come_first_and_those_that_ended_are_a_line_each() -> None:
    late = running(
        id="drain-9", state="overdue", waits_for="room: no other node has room", reason="",
        seconds_to_deadline=-90.0, deadline_at="2026-03-01T09:31:00.000Z",
    )  # fmt: skip
    daemon = Daemon({"node": "n1", "jobs": [running(), late, done(id="drain-5")]})
    result = daemon.run(jobs_command(daemon.ask, daemon.ask_each))
    assert result.output.splitlines() == [
        "JOB          STATE    BEGAN                PROGRESS",
        "drain-7      running  2026-03-01 09:30:00  node n2: 9,000 of 12,400 pages, 1,500 a second, about 2s left",
        "             ordered at node n1: a new kernel",
        "drain-9      overdue  2026-03-01 09:30:00  node n2: 9,000 of 12,400 pages, waits for room: no other node has room",
        "             ordered at node n1, deadline 2026-03-01 09:31:00",
        "",
        "ENDED                JOB",
        "2026-03-01 09:30:08  drain-5 of node n2: done, 12,400 pages moved in 8 s (a new kernel)",
    ]


def test_a_node_without_jobs_says_so() -> None:
    daemon = Daemon({"node": "n1", "jobs": []})
    assert daemon.run(jobs_command(daemon.ask, daemon.ask_each)).output == "node n1 has no jobs\n"


def test_json_has_the_answer() -> None:
    answer = {"node": "n1", "jobs": [running()]}
    daemon = Daemon(answer)
    assert (
        json.loads(daemon.run(jobs_command(daemon.ask, daemon.ask_each), "-o", "json").output)
        == answer
    )


def test_a_watch_shows_progress_and_ends_in_one_line() -> None:
    daemon = Daemon(running(), running(), running(done=10_000), done())
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7")
    assert result.exit_code == 0
    assert result.stdout == "drain-7 of node n2: done, 12,400 pages moved in 8 s\n"
    assert [line.split()[4] for line in result.stderr.splitlines()] == ["9,000", "10,000"]
    assert daemon.asked == [("job", {"id": "drain-7"})] * 4


def test_what_should_be_known_then_is_a_warning() -> None:
    daemon = Daemon(done(remarks=["5 pages stay"]))
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7")
    assert (result.exit_code, result.stderr) == (0, "warning: 5 pages stay\n")


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_did_not_end_well_is_status_1(state: str) -> None:
    ended = done(state=state, outcome=f"{state}: why; 9 pages moved in 1 s")
    daemon = Daemon(running(), ended)
    assert daemon.run(job_group(daemon.ask), "watch", "drain-7").exit_code == 1


def test_a_deadline_that_passes_ends_the_watch_and_not_the_job() -> None:
    late = running(state="overdue", seconds_to_deadline=-0.5)
    daemon = Daemon(running(), late)
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7")
    assert result.exit_code == 1
    assert result.stdout.startswith("drain-7 of node n2: overdue, 9,000 of 12,400 pages")
    assert "It goes on, and drops no page; `ramsterctl job watch drain-7`" in result.stdout


def test_one_that_was_overdue_before_is_watched_to_its_end() -> None:
    late = running(state="overdue", seconds_to_deadline=-90.0)
    daemon = Daemon(late, late, done())
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7")
    assert result.exit_code == 0
    assert "overdue by 1m 30s, 9,000 of" in result.stderr


def test_ctrl_c_says_that_the_job_goes_on_and_what_to_type() -> None:
    daemon = Daemon(running(), KeyboardInterrupt())
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "ramsterctl: drain-7 goes on; `ramsterctl job watch drain-7` shows it again,"
        " `ramsterctl job cancel drain-7` ends it"
    )


def test_at_another_node_the_lines_to_type_name_it() -> None:
    daemon = Daemon(KeyboardInterrupt())
    result = daemon.run(job_group(daemon.ask), "watch", "verify-1", node="n3")
    assert "`ramsterctl job cancel verify-1 --node n3` ends it" in result.stderr


def test_a_watch_for_programs_prints_only_the_end() -> None:
    daemon = Daemon(running(), done())
    result = daemon.run(job_group(daemon.ask), "watch", "drain-7", "-o", "json")
    assert json.loads(result.stdout) == done()
    assert result.stderr == ""


def test_cancel_says_what_became_of_it() -> None:
    daemon = Daemon(
        done(state="cancelled", outcome="cancelled: 3 pages left; 9 pages moved in 1 s")
    )
    result = daemon.run(job_group(daemon.ask), "cancel", "drain-7")
    assert result.output == "drain-7 of node n2: cancelled: 3 pages left; 9 pages moved in 1 s\n"
    assert daemon.asked == [("job-cancel", {"id": "drain-7"})]


def test_cancel_of_what_ends_a_moment_later_shows_how_it_stands() -> None:
    daemon = Daemon(running())
    result = daemon.run(job_group(daemon.ask), "cancel", "drain-7")
    assert result.output == f"{watch_line(running())}\n"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"total": None, "done": 0}, "not known yet"),
        ({"total": None, "done": 1, "seconds_left": None}, "1 page so far"),
        ({"seconds_left": None}, "9,000 of 12,400 pages"),
        ({"seconds_left": 0.2}, "9,000 of 12,400 pages, 1,500 a second, about 1s left"),
        ({"total": 0, "done": 0}, "no pages to move"),
        ({"total": 0, "done": 0, "kind": "verify", "noun": "block"}, "no blocks to check"),
        ({"as_of_seconds": 9.0}, "9,000 of 12,400 pages"),
        ({"as_of_seconds": 100.0}, "9,000 of 12,400 pages, as of 1m 40s ago"),
        ({"trailing": 90}, "9,000 of 12,400 pages"),
        (
            {"trailing": 90, "done": 12_400},
            "12,400 of 12,400 pages, 90 pages of its own not home yet",
        ),
        (
            {"waits_for": "room: no other node has room", "seconds_left": 7.0},
            "9,000 of 12,400 pages, waits for room: no other node has room",
        ),
    ],
)
def test_progress_says_what_is_known(changes: dict[str, object], text: str) -> None:
    assert progress(running(**{"seconds_left": None, **changes})) == text
