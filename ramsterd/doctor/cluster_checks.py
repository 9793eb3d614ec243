"""Are the nodes of a cluster alike: their clocks, their versions, their cluster files.  Pure."""

from collections.abc import Iterator

from config.units import human_count
from ramsterd.asking.comparer import SKEW_SECONDS_MAX, is_skewed
from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.surroundings import Cluster, Peer
from ramsterd.health.skew_checks import SET_CLOCKS, node_with_wrong_clock, show_skew
from ramsterd.health.wording import ask_doctor, make_members_equal, named


def check_cluster(facts: Facts, cluster: Cluster) -> Iterator[Finding]:
    """Compare this node with all that answer; before a start nobody can be asked."""
    if not cluster.is_running:
        yield ok("cluster", "clocks, versions and cluster files of other nodes are compared once ramsterd runs")  # fmt: skip
        return
    yield _check_answers(facts, cluster)
    yield _check_clocks(cluster)
    yield _check_versions(facts, cluster)
    yield _check_file(facts, cluster)
    yield _check_members(cluster)


def _answering(cluster: Cluster) -> list[Peer]:
    return [peer for peer in cluster.peers if peer.report is not None]


def _check_answers(facts: Facts, cluster: Cluster) -> Finding:
    answering = _answering(cluster)
    silent = [peer for peer in cluster.peers if peer.report is None]
    if not silent and cluster.own is not None:
        return ok("cluster", f"{human_count(len(answering), 'other node')} answered")
    if cluster.own is None:
        found, fix = "a daemon that does not compare nodes", "ramsterctl restart"
    else:
        first = silent[0]
        found = f"no answer of {named([peer.name for peer in silent])}"
        found += f" ({first.no_report})" if first.no_report else ""
        again = ask_doctor(facts.file)
        fix = f"do what the findings on links say, or upgrade these nodes, then: {again}"
    return Finding(
        check="cluster",
        state=State.WARNING,
        risk="differences between these nodes and this one are not seen",
        found=found,
        expected="an answer of each other node, over its link",
        fix=fix,
    )


def _check_clocks(cluster: Cluster) -> Finding:
    answering = _answering(cluster)
    skews = {
        peer.name: peer.skew_seconds
        for peer in answering
        if is_skewed(peer.skew_seconds, peer.uncertainty_seconds)
    }
    if not skews:
        largest = max((abs(peer.skew_seconds) for peer in answering), default=0.0)
        return ok("clocks", f"clocks of {human_count(len(answering), 'other node')} differ by {largest:.1f} s at most")  # fmt: skip
    wrong = node_with_wrong_clock(cluster.node, skews, len(answering))
    return Finding(
        check="clocks",
        state=State.WARNING,
        risk="dates in logs and events mislead, and a new certificate may not be valid yet",
        found="; ".join(f"{name}: {show_skew(skew)}" for name, skew in skews.items()),
        expected=f"clocks that differ by {SKEW_SECONDS_MAX:g} s at most",
        fix=f"on node {wrong}: timedatectl set-ntp true" if wrong else SET_CLOCKS,
    )


def _check_versions(facts: Facts, cluster: Cluster) -> Finding:
    assert facts.running is not None, "it is what answers"
    ours = facts.running.version
    others = {
        peer.name: peer.report.version
        for peer in cluster.peers
        if peer.report is not None and peer.report.version != ours
    }
    if not others:
        return ok("versions", f"{human_count(len(_answering(cluster)), 'other node')} also of version {ours}")  # fmt: skip
    return Finding(
        check="versions",
        state=State.WARNING,
        risk="what is new in a release works when all nodes have it",
        found=", ".join(f"{name} of version {version}" for name, version in others.items()),
        expected=f"version {ours}, as here, on all nodes",
        fix="install one version on all nodes, then on each: ramsterctl restart",
    )


def _check_file(facts: Facts, cluster: Cluster) -> Finding:
    if not cluster.edited:
        return ok("cluster-file", f"{facts.daemon.cluster} has the members that ramsterd runs with")
    return Finding(
        check="cluster-file",
        state=State.WARNING,
        risk="`ramsterctl node` is refused here, and the next start has other members",
        found=f"{facts.daemon.cluster}, changed by hand: {cluster.edited}",
        expected="the members that ramsterd runs with",
        fix=f"put the file back and use ramsterctl node; or, to use the file: {fixes.restart(facts)}",
    )


def _check_members(cluster: Cluster) -> Finding:
    own = cluster.own
    if own is None:
        return ok("members", "nothing to compare with")
    alike = [
        peer for peer in cluster.peers if peer.report is not None and peer.report.version == own.version
    ]  # fmt: skip
    differing = {
        peer.name: peer.report.membership_version
        for peer in alike
        if peer.report is not None and peer.report.cluster_digest != own.cluster_digest
    }
    if not differing:
        return ok("members", f"{human_count(len(alike), 'other node')} with the same members (version {own.membership_version})")  # fmt: skip
    return Finding(
        check="members",
        state=State.WARNING,
        risk="nodes disagree about who is a member, and where",
        found=", ".join(
            f"{name} with others (version {version})" for name, version in differing.items()
        ),
        expected=f"the members of this node (version {own.membership_version})",
        fix=f"on the node whose members are right: {make_members_equal(cluster.node)}",
    )
