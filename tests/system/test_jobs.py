"""Long work as jobs, with real daemons: watched from any member, left and taken up again, cancelled, late, done."""

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.helpers.programs import RAMSTERCTL, Program, environment, heed_interrupts, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until
from tests.system.membership import separate, start

RUN_BYTES = MIB // 4
RUNS = 48


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )


@contextmanager
def running(node: Node, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a command that goes on; it is ended with the block."""
    with Program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=heed_interrupts,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def jobs(node: Node) -> dict[str, Any]:
    return {job["id"]: job for job in json.loads(ctl(node, "jobs", "-o", "json").stdout)["jobs"]}


def jobs_named(node: Node, name: str) -> dict[str, Any]:
    return {key: job for key, job in jobs(node).items() if key == name}


def figures(node: Node, name: str) -> tuple[int, int, str]:
    job = jobs(node)[name]
    return job["done"], job["total"], job["waits_for"].split(":")[0]


def event_kinds(node: Node) -> list[str]:
    lines = ctl(node, "events", "-o", "json").stdout.splitlines()
    return [json.loads(line)["kind"] for line in lines]


def stuck(new_cluster: NewCluster) -> Cluster:
    """Return three nodes: node 2 keeps pages of node 1, and nobody else has room for them."""
    cluster = new_cluster(budgets=["6MiB", "32MiB", "32MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    ctl(cluster[1], "node", "cordon", "n3")
    rng = random.Random(1)
    with cluster[1].client() as client:
        for place in range(RUNS):
            run = rng.randbytes(3 * RUN_BYTES // 4) + bytes(RUN_BYTES // 4)
            client.write(place * RUN_BYTES, run)
    wait_until(lambda: cluster[2].foreign_pages() > 100, "node 2 keeps pages")
    return cluster


@pytest.mark.timeout(180)
def test_a_drain_is_watched_from_any_member_left_taken_up_again_and_cancelled(
    new_cluster: NewCluster,
) -> None:
    cluster = stuck(new_cluster)
    begun = ctl(cluster[1], "node", "drain", "n2", "--detach", "--deadline", "2h", "-m", "new RAM")
    assert begun.returncode == 0, begun.stderr
    name = begun.stdout.splitlines()[-1].split("`")[1].split()[-1]
    assert name.startswith("drain-")
    for node in cluster:
        job = wait_until(partial(jobs_named, node, name), f"{node.name} knows of it")[name]
        assert (job["by"], job["reason"], job["what"]) == ("n1", "new RAM", "node n2")
        assert job["deadline_at"]
    # A member that neither drains nor ordered it.
    with running(cluster[3], "job", "watch", name) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline().startswith(f"{name} of node n2: ")
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=20)
        assert watching.returncode == 130
        assert f"ramsterctl: {name} goes on; `ramsterctl job watch {name}`" in errors
    with running(cluster[3], "job", "watch", name) as watching:
        assert watching.stderr is not None
        watching.stderr.readline()
        watching.kill()
    assert jobs(cluster[3])[name]["state"] in {"running", "waiting"}
    wait_until(
        lambda: jobs(cluster[2])[name]["state"] == "waiting", "it stands still", seconds_max=30
    )
    assert "no other node has room" in jobs(cluster[2])[name]["waits_for"]
    assert figures(cluster[2], name)[1] > 100
    assert figures(cluster[2], name)[2] == "room"
    wait_until(
        lambda: len({figures(node, name) for node in cluster}) == 1, "all show the same figures",
        seconds_max=30,
    )  # fmt: skip
    with running(cluster[3], "job", "watch", name) as watching:
        assert watching.stderr is not None
        watching.stderr.readline()
        cancelled = ctl(cluster[3], "job", "cancel", name)
        assert cancelled.returncode == 0, cancelled.stderr
        assert f"{name} of node n2: cancelled: " in cancelled.stdout
        output, _ = watching.communicate(timeout=20)
        assert watching.returncode == 1
        assert output.startswith(f"{name} of node n2: cancelled: ")
    wait_until(lambda: jobs(cluster[2])[name]["state"] == "cancelled", "node 2 knows")
    assert cluster[1].states()[2] == "up"
    again = ctl(cluster[1], "job", "cancel", name)
    assert again.returncode == 1
    assert "has ended already: cancelled" in again.stderr
    wait_until(lambda: "drain_ended" in event_kinds(cluster[2]), "it is an event that it has ended")
    kinds = event_kinds(cluster[2])
    assert kinds.count("drain_began") == kinds.count("drain_ended") == 1


def test_a_deadline_drops_no_page_and_says_what_to_type(new_cluster: NewCluster) -> None:
    cluster = stuck(new_cluster)
    late = ctl(cluster[1], "node", "drain", "n2", "--deadline", "2s")
    assert late.returncode == 1
    assert " of node n2: overdue, " in late.stdout
    [name] = [name for name, job in jobs(cluster[1]).items() if job["state"] == "overdue"]
    wait_until(
        lambda: "JOB_OVERDUE" in ctl(cluster[2], "health").stdout, "health says it", seconds_max=20
    )
    assert f"type: ramsterctl job watch {name}" in ctl(cluster[2], "health").stdout
    assert cluster[2].foreign_pages() > 100
    # There is room now: it goes on by itself, and is done.
    ctl(cluster[1], "node", "uncordon", "n3")
    watched = ctl(cluster[3], "job", "watch", name)
    assert watched.returncode == 0, watched
    assert ", after its deadline" in watched.stdout
    assert cluster[2].foreign_pages() == 0
    assert cluster[1].engine()["store"]["lost_pages_total"] == 0


def plan_without_room(node: Node) -> "subprocess.CompletedProcess[str] | None":
    plan = ctl(node, "node", "drain", "n2", "--dry-run")
    return plan if plan.returncode == 1 else None


def test_a_dry_run_changes_nothing(new_cluster: NewCluster) -> None:
    cluster = stuck(new_cluster)
    version = cluster[1].status()["membership"]["version"]
    for node in (cluster[1], cluster[2]):
        # What node 2 has got in the last half second it has not told yet.
        plan = wait_until(partial(plan_without_room, node), f"{node.name} knows of no room")
        assert plan is not None
        assert "of other nodes would leave node n2" in plan.stdout
        assert "n3: it is cordoned" in plan.stdout
        assert plan.stdout.splitlines()[-1].endswith("nothing has changed")
    assert cluster[1].status()["membership"]["version"] == version
    assert jobs(cluster[2]) == {}


def test_a_drain_that_a_restart_interrupts_keeps_its_name_and_its_reason(
    new_cluster: NewCluster,
) -> None:
    cluster = stuck(new_cluster)
    ctl(cluster[1], "node", "drain", "n2", "--detach", "-m", "new RAM")
    [before] = jobs(cluster[1]).values()
    cluster[1].stop()
    start(cluster, [1])
    wait_until(lambda: before["id"] in jobs(cluster[1]), "it is known again")
    after = jobs(cluster[1])[before["id"]]
    assert (after["reason"], after["by"]) == ("new RAM", "n1")
    assert after["began_at"][:16] == before["began_at"][:16]


def test_a_verification_is_a_job_that_ends_in_one_line(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    cluster.start()
    with cluster[1].client() as client:
        client.write(0, bytes(range(256)) * 4096)
    done = ctl(cluster[1], "verify", "--invariants", "-m", "strange reads")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0].split(" of ")[0] for line in done.stdout.splitlines()] == [
        "verify-1", "verify-2",
    ]  # fmt: skip
    assert "pages checked, 0 damaged" in done.stdout
    assert jobs(cluster[1])["verify-2"]["reason"] == "strange reads"
    wrong = ctl(cluster[1], "verify", "-m", "two\nlines")
    assert wrong.returncode == 1
    assert "expected one line of printable text" in wrong.stderr
    unknown = ctl(cluster[1], "job", "watch", "drain-99")
    assert unknown.returncode == 1
    assert "expected one of those that `ramsterctl jobs` shows" in unknown.stderr
