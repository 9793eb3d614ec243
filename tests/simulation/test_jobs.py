"""What the machines do is a job from its beginning to its end, and the pages are where the job says."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import cordon_node, drain_node
from ramsterd.jobs.job import JobStatistics
from ramsterd.jobs.work import JobKind, JobState
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.jobs import LOOK_SECONDS, Jobs
from tests.simulation.two_owners import four_nodes


def is_over(job: JobStatistics) -> bool:
    return job.ended_seconds is not None


def is_running(job: JobStatistics) -> bool:
    return job.state is JobState.RUNNING and bool(job.done)


def the_drain(jobs: Jobs) -> JobStatistics:
    [job] = [job for job in jobs.look() if job.kind is JobKind.DRAIN]
    return job


async def test_a_drain_is_one_job_at_every_member(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    pages = cluster[2].engine.pages_here(NodeId(2))
    request: dict[str, object] = {"name": "node2", "reason": "a new kernel"}
    drain_node(cluster[3].peers.members, request, wall=cluster.now)
    cluster.run(0.1)
    seen = {node: Jobs(cluster, node) for node in range(4)}
    for jobs in seen.values():
        jobs.look()
    ended = {node: jobs.run_until(is_over, "drain") for node, jobs in seen.items()}
    assert {job.id for job in ended.values()} == {"drain-1"}
    assert {(job.by, job.reason) for job in ended.values()} == {("node3", "a new kernel")}
    assert {job.state for job in ended.values()} == {JobState.DONE}
    assert cluster[2].engine.pages_here(NodeId(2)) == 0
    assert 0 < ended[2].done <= pages
    finish(cluster, *clients)


async def test_a_drain_has_the_same_figures_at_each_member(
    seed: int, mock_clock: MockClock
) -> None:
    """Only the node itself asks, and one member looks late."""
    cluster, clients = four_nodes(seed, mock_clock, rebuild_pages_per_second=100)
    pages = cluster[2].engine.pages_here(NodeId(2))
    drain_node(cluster[3].peers.members, {"name": "node2"}, wall=cluster.now)
    drained = Jobs(cluster, 2)
    others = [Jobs(cluster, node, asks=False) for node in (0, 3)]
    drained.run_until(is_running, "drain")
    others.append(Jobs(cluster, 1, asks=False))
    ends: set[str] = set()
    totals: set[int | None] = set()
    for _ in range(200):
        totals.add(the_drain(drained).total)
        cluster.run(LOOK_SECONDS)
        [shown] = {(job.done, job.total) for job in map(the_drain, others)}
        totals.add(shown[1])
        ends = {the_drain(each).outcome for each in (drained, *others)}
        if "" not in ends:
            break
    [total] = totals
    assert total is not None
    assert total >= pages
    assert {each.split(" in ")[0] for each in ends} == {f"done, {total:,} pages moved"}
    finish(cluster, *clients)


async def test_a_drain_without_room_waits_is_late_and_goes_on(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    members = cluster[2].peers.members
    for node in (0, 1, 3):
        cordon_node(members, {"name": f"node{node}"}, is_cordoned=True)
    drain_node(members, {"name": "node2", "deadline_seconds": 60}, wall=cluster.now)
    jobs = Jobs(cluster, 2)
    waiting = jobs.run_until(lambda job: job.state is JobState.WAITING, "drain")
    assert "no other node has room" in waiting.waits_for
    jobs.run_until(lambda job: job.state is JobState.OVERDUE, "drain", seconds=90)
    assert cluster[2].engine.pages_here(NodeId(2)) > 0, "no page is dropped"
    cordon_node(members, {"name": "node3"}, is_cordoned=False)
    assert jobs.run_until(is_over, "drain").outcome.endswith(", after its deadline")
    finish(cluster, *clients)


async def test_a_drain_that_is_called_off_is_cancelled(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    members = cluster[1].peers.members
    jobs = Jobs(cluster, 1)
    drain_node(members, {"name": "node2"}, wall=cluster.now)
    jobs.look()
    cordon_node(members, {"name": "node2"}, is_cordoned=False)
    assert jobs.run_until(is_over, "drain").state is JobState.CANCELLED
    finish(cluster, *clients)


async def test_a_drain_is_a_recall_at_each_owner(seed: int, mock_clock: MockClock) -> None:
    cluster, clients = four_nodes(seed, mock_clock, rebuild_pages_per_second=20)
    jobs = Jobs(cluster, 0)
    drain_node(cluster[2].peers.members, {"name": "node2"}, wall=cluster.now)
    going_on = jobs.run_until(is_running, "recall")
    assert going_on.what == "pages of node node0 at node node2"
    assert going_on.by == ""
    ended = jobs.run_until(is_over, "recall", seconds=200)
    assert (ended.id, ended.state) == ("recall-1", JobState.DONE)
    assert ended.done > 0
    finish(cluster, *clients)


async def test_a_shrinking_budget_recalls_and_that_is_a_job_of_the_holder(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, clients = four_nodes(seed, mock_clock, rebuild_pages_per_second=20)
    jobs = Jobs(cluster, 2)
    cluster[2].engine.set_budget(MIB // 4, now=cluster.now)
    going_on = jobs.run_until(lambda job: job.ended_seconds is None, "recall")
    assert going_on.what == "pages of other nodes at node node2"
    assert jobs.run_until(is_over, "recall", seconds=200).state is JobState.DONE
    finish(cluster, *clients)


async def test_pages_that_lost_a_copy_are_a_rebuild_until_all_have_theirs(
    seed: int, mock_clock: MockClock
) -> None:
    knobs: dict[str, Any] = {"copies": 2, "budget": 4 * MIB, "rebuild_pages_per_second": 200}
    cluster = Cluster(seed, mock_clock, nodes=5, repatriate_pages_per_second=0, **knobs)
    cluster.link_all()
    cluster[0].engine.set_budget(2 * MIB, now=cluster.now)
    client = Client(cluster, 0)
    client.fill(1500)
    cluster.run(3)
    jobs = Jobs(cluster, 0)
    jobs.look()
    assert cluster[0].engine.pages_there(NodeId(1)) > 0
    cluster.restart(1)
    cluster.link_all()
    going_on = jobs.run_until(is_running, "rebuild")
    assert not going_on.waits_for
    assert (going_on.id, going_on.what) == ("rebuild-1", "pages of node node0")
    ended = jobs.run_until(is_over, "rebuild")
    assert ended.state is JobState.DONE
    assert not cluster[0].engine.statistics().rebuild.pages_at_risk
    finish(cluster, client)


async def test_a_check_of_the_memory_is_a_job_and_can_be_cancelled(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, clients = four_nodes(seed, mock_clock)
    engine, jobs = cluster[0].engine, Jobs(cluster, 0)
    engine.begin_scrub(now=cluster.now)
    jobs.look()
    engine.cancel_check(of_tables=False)
    assert jobs.run_until(is_over, "verify").state is JobState.CANCELLED
    engine.begin_scrub(now=cluster.now)
    engine.begin_audit()
    cluster.run(5)
    ended = {job.id: job.outcome for job in jobs.look() if job.kind.value == "verify"}
    assert len(ended) == 3
    assert all(outcome for outcome in ended.values())
    assert ", 0 damaged in " in ended["verify-2"]
    finish(cluster, *clients)


async def test_a_rebuild_that_waits_for_room_says_so_and_has_no_estimate(
    seed: int, mock_clock: MockClock
) -> None:
    knobs: dict[str, Any] = {"copies": 2, "budget": 4 * MIB, "rebuild_pages_per_second": 200}
    cluster = Cluster(seed, mock_clock, nodes=4, repatriate_pages_per_second=0, **knobs)
    cluster.link_all()
    cluster[0].engine.set_budget(2 * MIB, now=cluster.now)
    client = Client(cluster, 0)
    client.fill(1200)
    cluster.run(3)
    jobs = Jobs(cluster, 0)
    jobs.look()
    cluster.restart(1)
    cluster.link_all()
    jobs.run_until(is_running, "rebuild")
    members = cluster[2].peers.members
    for node in (1, 2, 3):
        cordon_node(members, {"name": f"node{node}"}, is_cordoned=True)
    cluster.run(1)
    waiting = jobs.run_until(lambda job: job.state is JobState.WAITING, "rebuild", seconds=5)
    assert waiting.waits_for == (
        "more nodes that take pages: node1 is cordoned. Type `ramsterctl node uncordon node1`, or add a node"
    )
    assert waiting.seconds_left is None
    assert cluster[0].engine.statistics().rebuild.seconds_left is None
    for node in (1, 2, 3):
        cordon_node(members, {"name": f"node{node}"}, is_cordoned=False)
    assert jobs.run_until(is_over, "rebuild").state is JobState.DONE
    finish(cluster, client)
