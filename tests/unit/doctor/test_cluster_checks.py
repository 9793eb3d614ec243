"""Whether nodes are alike: clocks, versions, cluster files."""

from dataclasses import replace

import pytest

from ramsterd.doctor.cluster_checks import check_cluster
from ramsterd.doctor.findings import Finding, State
from ramsterd.doctor.surroundings import Cluster, Reach
from tests.helpers.doctor_facts import found
from tests.helpers.doctor_surroundings import (
    BEFORE_START,
    CLUSTER,
    CURRENT,
    OWN,
    before,
    peer,
    unlinked,
)


def judged(cluster: Cluster, check: str) -> Finding:
    return found(check_cluster(CURRENT, cluster), check)


def test_before_a_start_one_line_says_that_nobody_was_asked() -> None:
    (finding,) = check_cluster(before(), BEFORE_START)
    assert (finding.check, finding.state) == ("cluster", State.OK)
    assert "once ramsterd runs" in finding.found


def test_nodes_that_are_alike_are_ok() -> None:
    findings = list(check_cluster(CURRENT, CLUSTER))
    assert [str(each) for each in findings if each.state is not State.OK] == []
    assert [each.check for each in findings] == [
        "cluster", "clocks", "versions", "cluster-file", "members",
    ]  # fmt: skip


def test_a_node_that_was_not_asked_is_not_taken_for_one_that_is_alike() -> None:
    cluster = replace(CLUSTER, peers=(peer(0), unlinked(2, Reach.REFUSED)))
    finding = judged(cluster, "cluster")
    assert finding.state is State.WARNING
    assert finding.found == "no answer of node2 (node has no link)"


def test_a_daemon_that_compares_no_nodes_is_an_old_one() -> None:
    cluster = replace(CLUSTER, own=None, peers=(peer(0, report=None),))
    assert judged(cluster, "cluster").fix == "ramsterctl restart"
    assert judged(cluster, "members").state is State.OK


@pytest.mark.parametrize(
    ("skews", "shown", "fix"),
    [
        ((9.0, 0.0), "node0: its clock is 9.0 s ahead", "on node node0: timedatectl set-ntp true"),
        (
            (-9.0, -9.2),
            "node0: its clock is 9.0 s behind; node2: its clock is 9.2 s behind",
            "on node node1: timedatectl set-ntp true",
        ),
    ],
)
def test_clocks_that_differ_are_told_with_the_one_that_is_wrong(
    skews: tuple[float, float], shown: str, fix: str
) -> None:
    peers = (peer(0, skew_seconds=skews[0]), peer(2, skew_seconds=skews[1]))
    finding = judged(replace(CLUSTER, peers=peers), "clocks")
    assert (finding.state, finding.found, finding.fix) == (State.WARNING, shown, fix)


def test_of_two_clocks_nobody_knows_which_one_is_wrong() -> None:
    finding = judged(replace(CLUSTER, peers=(peer(0, skew_seconds=9.0),)), "clocks")
    assert "here and there" in finding.fix


def test_a_late_answer_proves_no_difference() -> None:
    late = peer(0, skew_seconds=9.0, uncertainty_seconds=4.5)
    assert judged(replace(CLUSTER, peers=(late,)), "clocks").state is State.OK


def test_other_versions_are_named() -> None:
    older = peer(2, report=replace(OWN, version="0.0.1"))
    cluster = replace(CLUSTER, peers=(peer(0), older))
    finding = judged(cluster, "versions")
    assert finding.found == "node2 of version 0.0.1"
    assert judged(cluster, "members").state is State.OK, "another version may know more keys"


def test_a_file_that_was_changed_by_hand_is_told_with_what_differs() -> None:
    finding = judged(replace(CLUSTER, edited="node7 (7) is new"), "cluster-file")
    assert finding.state is State.WARNING
    assert finding.found == "/etc/ramster/cluster.toml, changed by hand: node7 (7) is new"
    assert "ramsterctl node" in finding.fix


def test_other_members_are_named_with_their_version() -> None:
    other = peer(2, report=replace(OWN, cluster_digest="d2", membership_version=1))
    finding = judged(replace(CLUSTER, peers=(peer(0), other)), "members")
    assert finding.found == "node2 with others (version 1)"
    assert finding.expected == "the members of this node (version 2)"
    assert finding.fix.endswith(
        "ramsterctl node cordon node1, then: ramsterctl node uncordon node1"
    )
