"""What the starvation test and benchmark judge by."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.starvation import Schedule, beliefs_of
from benchmarks.starving import Wait, starved
from benchmarks.verdicts import Belief, tally
from nodemanager.states import NodeState

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN
LOG = """\
2026-11-25 08:42:02,500 DEBUG   ramster.heartbeat: node n5 is suspect: no answer to a probe
2026-11-25 08:42:02,700 INFO    ramster.nodes: node n5 is down: something else that says so
2026-11-25 08:42:06,500 DEBUG   ramster.heartbeat: node n5 is down: no sign of life for 4.0 s after it became suspect
2026-11-25 08:42:06,600 WARNING ramster.heartbeat: heartbeat dropped, bad mac: from node n5: tag differs; dropped for this reason since the start: 1
2026-11-25 08:42:09,000 DEBUG   ramster.heartbeat: node n5 is up: it answers
"""


def test_a_log_tells_what_a_daemon_believed() -> None:
    beliefs = beliefs_of(1, LOG)
    assert [(each.judge, each.node, each.state) for each in beliefs] == [
        (1, 5, SUSPECT),
        (1, 5, DOWN),
        (1, 5, UP),
    ]
    found = tally(beliefs, lambda _: True, end=beliefs[0].at)
    assert (found.suspects, found.downs, found.refuted) == (1, 1, 1)
    assert (found.down_seconds, found.longest_seconds) == (2.5, 2.5)


def test_who_is_down_at_the_end_was_not_refuted() -> None:
    beliefs = [Belief(1, 1, 5, DOWN), Belief(3, 2, 5, DOWN), Belief(4, 2, 5, UP)]
    found = tally(beliefs, lambda _: True, end=11)
    assert (found.downs, found.refuted) == (2, 1)
    assert (found.down_seconds, found.longest_seconds) == (11, 10)


def test_down_and_suspect_again_counts_as_taken_back_and_others_are_left_out() -> None:
    beliefs = [Belief(1, 1, 5, DOWN), Belief(2, 1, 5, SUSPECT), Belief(2, 1, 4, DOWN)]
    found = tally(beliefs, lambda belief: belief.node == 5, end=9)
    assert (found.suspects, found.downs, found.refuted) == (1, 1, 1)


def test_a_schedule_is_what_was_saved(tmp_path: Path) -> None:
    schedule = Schedule([Wait(0.5, 2.5, 0.004), Wait(3.0, 4.0, 0.001)], 0.0005)
    schedule.save(tmp_path / "schedule.json")
    assert Schedule.load(tmp_path / "schedule.json") == schedule
    assert "2 waits, median 2.0 s, longest 2.0 s, 3 s in all" in str(schedule)
    assert str(Schedule([], 1)) == "it never had to wait"


def test_who_was_starved_has_its_cores_back_and_the_loops_are_gone() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    try:
        cores = os.sched_getaffinity(sleeper.pid)
        before = children.read_text().split()
        with starved(sleeper.pid, loops=2):
            assert os.sched_getaffinity(sleeper.pid) == {max(cores)}
            assert os.getpriority(os.PRIO_PROCESS, sleeper.pid) == 19
            assert len(children.read_text().split()) == len(before) + 2
        assert os.sched_getaffinity(sleeper.pid) == cores
        assert children.read_text().split() == before
    finally:
        sleeper.communicate(b"\n")
