"""What `ramsterctl job` asks of a daemon: jobs are found, watched, and ended where they can be."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ramsterd.admin import job_commands
from ramsterd.admin.job_commands import cancel, job, jobs, verify
from ramsterd.admin.socket import CommandRefused
from ramsterd.jobs.table import JobTable
from ramsterd.jobs.work import Ending, JobKind, JobState, Order, Work
from ramsterd.observe.job_facts import AWAY, HOME
from ramsterd.observe.job_watch import JobWatch
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from tests.helpers import job_works as works


class Node:
    """A daemon that does the work that a test gives it."""

    def __init__(self, *work: Work) -> None:
        self.work = list(work)
        self.table = JobTable()
        self.watched: list[str] = []
        self.cancelled: list[bool] = []
        self.scrubs = self.audits = 0
        self.watch = cast(
            "JobWatch",
            SimpleNamespace(
                table=self.table, statistics=self.look, look=self.look, wall=lambda: 1000.0,
                now=lambda: 100.0,
                on_watched=lambda found: self.watched.append(found.id),
            ),
        )  # fmt: skip
        self.engine = cast(
            "Engine",
            SimpleNamespace(
                cancel_check=lambda *, of_tables: self.cancelled.append(of_tables),
                begin_scrub=self.begin_scrub, begin_audit=self.begin_audit,
            ),
        )  # fmt: skip
        self.peers = cast("Peers", SimpleNamespace(settle=lambda: None, members="the members"))
        self.look()

    def look(self) -> Any:
        self.table.look(self.work, now=0.0)
        return SimpleNamespace(node="n1", jobs=self.table.statistics())

    def begin_scrub(self, *, now: float) -> Any:
        self.scrubs += 1
        self.work.append(works.verify(self.scrubs))
        return SimpleNamespace(scrubs_total=self.scrubs)

    def begin_audit(self) -> Any:
        self.audits += 1
        self.work.append(works.verify(self.audits, key=f"tables {self.audits}"))
        return SimpleNamespace(audits_total=self.audits)

    def cancel(self, name: str) -> Any:
        return cancel(self.watch, self.engine, self.peers, {"id": name})


async def test_jobs_have_dates_that_others_can_use() -> None:
    node = Node(works.drain(9, seconds_to_deadline=60.0, age_seconds=30.0))
    answer: Any = jobs(node.watch, {})
    assert answer["node"] == "n1"
    [found] = answer["jobs"]
    assert (found["id"], found["kind"], found["state"]) == ("drain-3", "drain", "running")
    assert found["began_at"] == "1970-01-01T00:16:10.000Z"
    assert found["deadline_at"] == "1970-01-01T00:17:40.000Z"
    assert found["ended_at"] is None


async def test_to_ask_for_a_job_is_to_watch_it() -> None:
    node = Node(works.drain(9))
    answer: Any = job(node.watch, {"id": "drain-3"})
    assert answer["id"] == "drain-3"
    assert node.watched == ["drain-3"]


@pytest.mark.parametrize("name", ["drain-9", "", None, 3])
async def test_a_job_that_there_is_not_is_refused(name: object) -> None:
    with pytest.raises(CommandRefused, match="expected one of those that `ramsterctl jobs` shows"):
        job(Node(works.drain(9)).watch, {"id": name})


async def test_a_drain_is_cancelled_by_an_uncordon(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(works.drain(9))
    uncordoned: list[object] = []

    def uncordon(members: object, request: object, *, is_cordoned: bool) -> None:
        uncordoned.append((members, request, is_cordoned))
        node.work.clear()

    monkeypatch.setattr(job_commands, "cordon_node", uncordon)
    answer = node.cancel("drain-3")
    assert answer["state"] == "cancelled"
    assert uncordoned == [("the members", {"name": "n2"}, False)]


@pytest.mark.parametrize(("key", "of_tables"), [("pages 1", False), ("tables 1", True)])
async def test_a_check_that_an_operator_began_stops(key: str, of_tables: bool) -> None:
    node = Node(works.verify(1, key=key, order=Order("n1")))
    node.cancel("verify-1")
    assert node.cancelled == [of_tables]


async def test_a_check_of_a_start_goes_on() -> None:
    node = Node(works.verify(1))
    with pytest.raises(CommandRefused, match="verify-1 was not cancelled: ramsterd reads kept"):
        node.cancel("verify-1")
    assert node.cancelled == []


@pytest.mark.parametrize(
    ("kind", "key", "match"),
    [
        (JobKind.RECALL, HOME, "end its drain"),
        (JobKind.RECALL, AWAY, "give this node memory"),
        (JobKind.REBUILD, "risk", "lower rebuild_pages_per_second"),
    ],
)
async def test_what_keeps_pages_safe_is_not_cancelled(kind: JobKind, key: str, match: str) -> None:
    node = Node(works.rebuild(9, kind=kind, key=key))
    node.table.look(node.work, now=100.0)
    with pytest.raises(CommandRefused, match=match):
        node.cancel(f"{kind.value}-1")


async def test_what_has_ended_can_not_be_cancelled() -> None:
    node = Node(works.drain(0))
    with pytest.raises(CommandRefused, match=r"has ended already: done, .*node uncordon n2"):
        node.cancel("drain-3")


async def test_a_check_is_a_job_of_who_began_it() -> None:
    node = Node()
    answer: Any = verify(
        node.watch, node.engine, node.peers, {"invariants": True, "reason": "strange reads"}
    )
    assert answer["jobs"] == ["verify-1", "verify-2"]
    shown = {each.what: (each.by, each.reason) for each in node.table.statistics().jobs}
    assert set(shown.values()) == {("n1", "strange reads")}
    ending = Ending(JobState.DONE, "9 pages checked, 0 damaged")
    node.work = [works.verify(1, ending=ending)]
    node.look()
    assert verify(node.watch, node.engine, node.peers, {}) == {"jobs": ["verify-3"]}


async def test_a_wrong_reason_begins_no_check() -> None:
    node = Node()
    with pytest.raises(CommandRefused, match="reason: "):
        verify(node.watch, node.engine, node.peers, {"reason": "a\nb"})
    assert node.scrubs == 0
