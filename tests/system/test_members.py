"""Nodes join, are cordoned, and leave, with real daemons that each have a cluster file of their own."""

import json
import random
import signal
from typing import Any

from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until
from tests.system.membership import (
    NOTE,
    ctl,
    file_of,
    members,
    separate,
    start,
    wait_linked,
    wait_members,
)


def holders(node: Node) -> dict[str, int]:
    return {each["node"]: each["pages"] for each in node.engine()["remote"] if not each["is_dead"]}


def add(cluster: Cluster, at: int, number: int) -> dict[str, Any]:
    port = str(cluster[number].port)
    arguments = ["--number", str(number), "--name", f"n{number}", "--address", "127.0.0.1"]
    result = json.loads(ctl(cluster[at], "node", "add", *arguments, "--port", port, "-o", "json"))
    assert isinstance(result, dict)
    return result


def test_a_fourth_node_joins_takes_pages_and_one_is_cordoned_and_removed(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["4MiB", "8MiB", "8MiB", "64MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    first = [cluster[1], cluster[2], cluster[3]]

    assert add(cluster, 2, 4)["membership_version"] == 1
    wait_members(first, {1, 2, 3, 4})
    for node in first:
        wait_until(lambda: 'name = "n4"' in file_of(node).read_text(), "written")  # noqa: B023  called at once
        assert file_of(node).read_text().count(NOTE) == 4
    assert "is added already" in ctl_add_again(cluster)

    # The newcomer gets the file of any member.
    file_of(cluster[4]).write_text(file_of(cluster[3]).read_text())
    start(cluster, [4])
    wait_linked(cluster, [1, 2, 3, 4])

    # 3 is cordoned, from 1: what is written from now on goes to others.
    ctl(cluster[1], "node", "cordon", "n3")
    rows = wait_until(
        lambda: [row for row in cluster[2].ask("nodes") if row["config"]["cordoned"]],
        "node 2 knows of the cordon",
    )
    assert [row["config"]["number"] for row in rows] == [3]
    runs = [random.Random(place).randbytes(MIB) for place in range(24)]
    with cluster[1].client() as client:
        for place, run in enumerate(runs):
            client.write(place * MIB, run)
    held = wait_until(lambda: holders(cluster[1]), "pages of node 1 leave")
    assert held.get("n4"), held
    assert not held.get("n3"), held

    # 4 holds pages of 1: it can't be removed, from anywhere, and stays cordoned.
    error = ctl(cluster[2], "node", "remove", "n4", status=1)
    assert "n4 has the last copy of" in error
    assert "pages of n1" in error
    assert members(cluster[1]) == {1, 2, 3, 4}
    ctl(cluster[2], "node", "uncordon", "n4")

    # 3 holds nothing: it goes, and knows it.
    answer = json.loads(ctl(cluster[1], "node", "remove", "n3", "-o", "json"))
    assert answer["state"] == "removed"
    assert answer["lost"] == []
    wait_members([cluster[1], cluster[2], cluster[4]], {1, 2, 4})
    wait_until(lambda: "this node was removed" in cluster[3].log, "node 3 knows")
    wait_until(lambda: not cluster[3].links(), "node 3 has no links")
    for node in (cluster[1], cluster[2], cluster[3], cluster[4]):
        wait_until(lambda: 'name = "n3"' not in file_of(node).read_text(), "written")  # noqa: B023  called at once
        assert file_of(node).read_text().count(NOTE) == 3, (
            "a comment goes with what it speaks of, and no other"
        )
    assert "was removed" in ctl(cluster[3], "node", "cordon", "n1", status=1)
    assert "REMOVED" in ctl(cluster[3], "status")
    with cluster[1].client() as client:
        assert all(client.read(place * MIB, MIB) == run for place, run in enumerate(runs))


def ctl_add_again(cluster: Cluster) -> str:
    port = str(cluster[4].port)
    arguments = ["--number", "4", "--name", "n4", "--address", "127.0.0.1", "--port", port]
    return ctl(cluster[1], "node", "add", *arguments)


def test_a_node_that_was_away_learns_and_a_stop_is_no_failure(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB", "8MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    cluster[3].stop()
    wait_until(lambda: cluster[1].states()[3] == "left", "node 3 left")
    add(cluster, 1, 4)
    assert 'name = "n4"' not in file_of(cluster[3]).read_text()
    start(cluster, [3])
    wait_members([cluster[3]], {1, 2, 3, 4})
    wait_until(lambda: 'name = "n4"' in file_of(cluster[3]).read_text(), "written")
    assert cluster[1].states()[3] == "up"


def test_a_file_changed_by_hand_is_not_written(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"])
    separate(cluster, 2)
    start(cluster, [1, 2])
    mine = file_of(cluster[1])
    text = mine.read_text()
    changed = text.replace("idle_seconds = 8.0", "idle_seconds = 9.0")
    mine.write_text(changed)
    error = ctl(cluster[1], "node", "cordon", "n2", status=1)
    assert "a change made by hand while the daemon runs" in error
    assert mine.read_text() == changed
    # New comments are welcome, and kept.
    mine.write_text(f"# a new comment\n{text}")
    ctl(cluster[1], "node", "cordon", "n2")
    wait_until(lambda: "cordoned = true" in mine.read_text(), "written")
    assert mine.read_text().startswith("# a new comment\n")


def test_a_change_that_a_restart_forgot_is_lost_with_a_word(new_cluster: NewCluster) -> None:
    """Made while alone, then restarted; the others made a newer list without it."""
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"])
    separate(cluster, 3)
    start(cluster, [1])
    ctl(cluster[1], "node", "cordon", "n3")
    cluster[1].stop()
    start(cluster, [2, 3])
    for _ in range(2):
        ctl(cluster[2], "node", "cordon", "n1")
        ctl(cluster[2], "node", "uncordon", "n1")
    start(cluster, [1])
    wait_until(lambda: "which did not know version 1 of this node" in cluster[1].log, "it is told")
    cluster[1].wait_said("n3 (3) is no longer cordoned")
    wait_until(
        lambda: "cordoned = true" not in file_of(cluster[1]).read_text(), "the newer list is kept"
    )


def test_a_file_changed_by_hand_is_told_on_sighup_and_not_taken_over(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2])
    node, mine = cluster[1], file_of(cluster[1])
    text = mine.read_text()
    for written, reason in (
        (f"{text}\n# a comment", "the cluster file has not changed"),
        (text.replace('name = "n3"', 'name = "x"'), "name of x (3) is 'x', was 'n3'"),
        (text.replace("idle_seconds = 8.0", "idle_seconds = 9.0"), "other settings than members"),
        (text.replace("number = 3", "number = 2"), "the cluster file has a mistake; "),
    ):
        mine.write_text(written)
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: reason in node.log, reason)  # noqa: B023  called at once
    assert members(node) == {1, 2, 3}
    assert node.links() == {2}
    mine.write_text(text)
    ctl(node, "node", "cordon", "n2")


def test_a_refusal_is_over_when_the_file_is_put_back(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2])
    node, mine = cluster[1], file_of(cluster[1])
    text = mine.read_text()
    mine.write_text(text.replace("idle_seconds = 8.0", "idle_seconds = 9.0"))
    assert "a change made by hand" in ctl(node, "node", "cordon", "n3", status=1)
    # What another node changes is followed; the file stays behind.
    ctl(cluster[2], "node", "cordon", "n3")
    wait_until(lambda: "not written:" in ctl(node, "status"), "it is told")
    mine.write_text(text)
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: "MEMBERS" not in ctl(node, "status"), "it is over")
    wait_until(lambda: "cordoned = true" in mine.read_text(), "the change is written")
    assert mine.read_text().count(NOTE) == text.count(NOTE)


def test_after_a_removal_daemons_with_too_many_copies_start(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"], copies=2)
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    ctl(cluster[1], "node", "remove", "n3")
    wait_members([cluster[1], cluster[2]], {1, 2})
    wait_until(lambda: 'name = "n3"' not in file_of(cluster[2]).read_text(), "written")
    for number in (1, 2):
        cluster[number].stop()
    start(cluster, [1, 2])
    cluster[1].wait_said("remote.copies: found 2, expected at most 1")
